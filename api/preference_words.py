"""The preference centre's words in each language. Knows no person and no route."""

import msgspec

from engine.consent import Purpose

LANGUAGES = {"en": "English", "de": "Deutsch"}


class Words(msgspec.Struct, frozen=True):
    """Every sentence of the pages in one language."""

    title: str
    lead: str
    purposes: str
    channels: str
    channels_lead: str
    held: str
    held_lead: str
    nothing: str
    events: str
    history: str
    no_history: str
    rights: str
    download: str
    delete: str
    delete_lead: str
    delete_sure: str
    deleted: str
    deleted_lead: str
    back: str
    agree: str
    withdraw: str
    allow: str
    stop: str
    saved: str
    contract: str
    erased: str
    language: str
    expired: str
    expired_lead: str
    unknown: str
    unknown_lead: str
    contested: str
    names: dict[str, str]
    statuses: dict[str, str]
    reached: tuple[str, str]


_EN = Words(
    title="Your data and your choices",
    lead="Here you see what we keep about you and why. Every choice holds from the moment you press its button.",
    purposes="What we may use your data for",
    channels="How we may reach you",
    channels_lead="These settings are about messages. Replies to something you ask us always reach you.",
    held="What we keep about you",
    held_lead="Grouped by what it is used for.",
    nothing="We keep nothing under this address.",
    events="events since",
    history="Your choices so far",
    no_history="You have made no choices yet.",
    rights="Your data",
    download="Download my data",
    delete="Delete my data",
    delete_lead="We delete your profile, your history and what was decided about you. It cannot be undone.",
    delete_sure="Yes, delete everything",
    deleted="Your data is being deleted",
    deleted_lead="It takes a moment to reach every place it was kept. Keep this number if you want to ask about it:",
    back="Back to my choices",
    agree="Agree",
    withdraw="Withdraw",
    allow="Allow",
    stop="Stop",
    saved="Saved. It holds from now on.",
    contract="Needed for our contract with you; it ends with the contract.",
    erased="erased",
    language="Language",
    expired="This link has expired",
    expired_lead="For your safety links hold for a limited time only. Please ask for a new one. Nothing was changed.",
    unknown="This link is not valid",
    unknown_lead="Please use the whole link from the message. Nothing was changed.",
    contested="Somebody else changed this at the same moment. Please look at it again and repeat your choice.",
    names={
        "service": "Service",
        "analytics": "Statistics",
        "personalization": "Personal suggestions",
        "marketing": "Marketing",
        "advertising": "Advertising",
        "profiling": "Predictions",
        "sale_or_share": "Passing data on",
        "model_training": "Learning from your answers",
        "email": "E-mail",
        "sms": "Text message",
        "voice": "Phone call",
        "whatsapp": "WhatsApp",
        "push": "Notifications",
        "chat": "Chat",
        "web": "On our website",
    },
    statuses={
        "granted": "You agree",
        "denied": "You refuse",
        "withdrawn": "You have withdrawn",
        "objected": "You have objected",
        "pending": "Waiting for your confirmation",
        "expired": "Your agreement has expired",
        "not_asked": "You have not been asked",
    },
    reached=("We may reach you this way", "We do not reach you this way"),
)
_DE = Words(
    title="Ihre Daten und Ihre Entscheidungen",
    lead="Hier sehen Sie, was wir über Sie speichern und wofür. Jede Entscheidung gilt, sobald Sie die Taste drücken.",
    purposes="Wofür wir Ihre Daten verwenden dürfen",
    channels="Wie wir Sie erreichen dürfen",
    channels_lead="Hier geht es um Nachrichten von uns. Antworten auf Ihre Anliegen erreichen Sie immer.",
    held="Was wir über Sie speichern",
    held_lead="Geordnet danach, wofür es verwendet wird.",
    nothing="Unter dieser Adresse speichern wir nichts.",
    events="Ereignisse seit",
    history="Ihre bisherigen Entscheidungen",
    no_history="Sie haben noch nichts entschieden.",
    rights="Ihre Daten",
    download="Meine Daten herunterladen",
    delete="Meine Daten löschen",
    delete_lead="Wir löschen Ihr Profil, Ihren Verlauf und was über Sie entschieden wurde. Das ist nicht umkehrbar.",
    delete_sure="Ja, alles löschen",
    deleted="Ihre Daten werden gelöscht",
    deleted_lead="Bis jeder Ort erreicht ist, dauert es einen Moment. Diese Nummer hilft bei Rückfragen:",
    back="Zurück zu meinen Entscheidungen",
    agree="Zustimmen",
    withdraw="Widerrufen",
    allow="Erlauben",
    stop="Beenden",
    saved="Gespeichert. Das gilt ab sofort.",
    contract="Für unseren Vertrag mit Ihnen nötig; es endet mit dem Vertrag.",
    erased="gelöscht",
    language="Sprache",
    expired="Dieser Link ist abgelaufen",
    expired_lead="Zu Ihrer Sicherheit gelten Links nur begrenzte Zeit. Bitte fordern Sie einen neuen an.",
    unknown="Dieser Link ist ungültig",
    unknown_lead="Bitte verwenden Sie den ganzen Link aus der Nachricht. Es wurde nichts geändert.",
    contested="Jemand hat das im selben Moment geändert. Bitte sehen Sie es noch einmal an und wiederholen Sie es.",
    names={
        "service": "Betreuung",
        "analytics": "Statistik",
        "personalization": "Persönliche Vorschläge",
        "marketing": "Werbung für eigene Angebote",
        "advertising": "Anzeigen",
        "profiling": "Vorhersagen",
        "sale_or_share": "Weitergabe an Partner",
        "model_training": "Lernen aus Ihren Antworten",
        "email": "E-Mail",
        "sms": "SMS",
        "voice": "Anruf",
        "whatsapp": "WhatsApp",
        "push": "Mitteilungen",
        "chat": "Chat",
        "web": "Auf unserer Website",
    },
    statuses={
        "granted": "Sie stimmen zu",
        "denied": "Sie lehnen ab",
        "withdrawn": "Sie haben widerrufen",
        "objected": "Sie haben widersprochen",
        "pending": "Wartet auf Ihre Bestätigung",
        "expired": "Ihre Zustimmung ist abgelaufen",
        "not_asked": "Sie wurden nicht gefragt",
    },
    reached=("Wir dürfen Sie so erreichen", "Wir erreichen Sie so nicht"),
)
WORDS = {"en": _EN, "de": _DE}


def named(words: Words, name: str) -> str:
    """A purpose or channel as people call it; one that only this installation has keeps its own name."""
    return words.names.get(name) or name.replace("_", " ").capitalize()


def explained(purpose: Purpose, language: str) -> str:
    """What a purpose means, in the language where the configuration has it, else in the first one it has."""
    return purpose.text.get(language) or next(iter(purpose.text.values()), "")
