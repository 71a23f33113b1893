"""The preference centre's words in each language, and how it writes names, numbers and days. Knows no person and no
route."""

import re
from datetime import UTC, datetime

import msgspec

from engine.consent import Purpose

LANGUAGES = {"en": "English", "de": "Deutsch"}
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_COMMA = str.maketrans(",.", ".,")


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
    oldest: str
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
    refuse: str
    allow: str
    stop: str
    saved: str
    contract: str
    erased: str
    language: str
    expired: str
    expired_lead: str
    gone: str
    gone_lead: str
    unknown: str
    unknown_lead: str
    away: str
    away_lead: str
    misread: str
    misread_lead: str
    contested: str
    changed: str
    restricted: str
    lifted: str
    resting: str
    resting_unasked: str
    objected_to: str
    unasked_open: str
    off_with_all: str
    names: dict[str, str]
    statuses: dict[str, str]
    reached: tuple[str, str]
    labels: dict[str, str]
    signals: dict[str, str]
    yes_no: tuple[str, str]
    point: str
    date: str
    months: tuple[str, ...]


_MONTHS_EN = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_MONTHS_DE = (
    "Januar", "Februar", "März", "April", "Mai", "Juni",
    "Juli", "August", "September", "Oktober", "November", "Dezember",
)  # fmt: skip
_LABELS_EN = {
    "user_id": "Customer number", "crm_id": "CRM number", "email": "E-mail", "phone": "Phone",
    "anonymous_id": "Visitor number", "device_id": "Device", "push_token": "Address for notifications",
    "profile_id": "Profile number", "name": "Name", "first_name": "First name", "last_name": "Last name",
    "title": "Title", "gender": "Gender", "birthday": "Birthday", "age": "Age", "username": "User name",
    "avatar": "Picture", "website": "Website", "description": "Description", "address": "Address", "street": "Street",
    "postal_code": "Postcode", "city": "City", "state": "State", "country": "Country", "language": "Language",
    "locale": "Language", "timezone": "Time zone", "company": "Company", "industry": "Industry",
    "employees": "Employees", "created_at": "Customer since", "plan": "Plan", "segment": "Segment",
    "satisfaction": "Satisfaction", "tenure_months": "Months with us", "monthly_bill": "Monthly bill",
}  # fmt: skip
_SIGNALS_EN = {
    "events": "Events", "contacts": "Contacts", "complaints": "Complaints", "purchases": "Purchases",
    "revenue": "Value of purchases", "sessions": "Visits", "page_views": "Pages viewed",
    "product_views": "Products viewed", "views": "Products viewed", "responses": "Suggestions",
    "presented": "Suggestions shown", "accepted": "Suggestions accepted", "declined": "Suggestions declined",
    "clicked": "Suggestions opened", "completed": "Suggestions completed", "skipped": "Suggestions left out",
    "complaint": "Complaints about suggestions",
}  # fmt: skip
_LABELS_DE = {
    "user_id": "Kundennummer", "crm_id": "CRM-Nummer", "email": "E-Mail", "phone": "Telefon",
    "anonymous_id": "Besuchernummer", "device_id": "Gerät", "push_token": "Adresse für Mitteilungen",
    "profile_id": "Profilnummer", "name": "Name", "first_name": "Vorname", "last_name": "Nachname", "title": "Titel",
    "gender": "Geschlecht", "birthday": "Geburtstag", "age": "Alter", "username": "Benutzername", "avatar": "Bild",
    "website": "Website", "description": "Beschreibung", "address": "Adresse", "street": "Straße",
    "postal_code": "Postleitzahl", "city": "Ort", "state": "Bundesland", "country": "Land", "language": "Sprache",
    "locale": "Sprache", "timezone": "Zeitzone", "company": "Firma", "industry": "Branche",
    "employees": "Beschäftigte", "created_at": "Kunde seit", "plan": "Tarif", "segment": "Kundengruppe",
    "satisfaction": "Zufriedenheit", "tenure_months": "Monate bei uns", "monthly_bill": "Monatliche Rechnung",
}  # fmt: skip
_SIGNALS_DE = {
    "events": "Ereignisse", "contacts": "Kontakte", "complaints": "Beschwerden", "purchases": "Käufe",
    "revenue": "Wert der Käufe", "sessions": "Besuche", "page_views": "Angesehene Seiten",
    "product_views": "Angesehene Produkte", "views": "Angesehene Produkte", "responses": "Vorschläge",
    "presented": "Gezeigte Vorschläge", "accepted": "Angenommene Vorschläge", "declined": "Abgelehnte Vorschläge",
    "clicked": "Geöffnete Vorschläge", "completed": "Abgeschlossene Vorschläge", "skipped": "Ausgelassene Vorschläge",
    "complaint": "Beschwerden über Vorschläge",
}  # fmt: skip
_EN = Words(
    title="Your data and your choices",
    lead="Here you see what we keep about you and why. Every choice holds from the moment you press its button.",
    purposes="What we may use your data for",
    channels="How we may reach you",
    channels_lead="These settings are about messages. Replies to something you ask us always reach you.",
    held="What we keep about you",
    held_lead="Grouped by what it is used for.",
    nothing="We keep nothing under this address.",
    oldest="The oldest of it is from",
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
    refuse="Refuse",
    allow="Allow",
    stop="Stop",
    saved="Saved. It holds from now on.",
    contract="Needed for our contract with you; it ends with the contract.",
    erased="What you had chosen before was deleted",
    language="Language",
    expired="This link has expired",
    expired_lead="For your safety links hold for a limited time only. Please ask for a new one. Nothing was changed.",
    gone="Your data was deleted",
    gone_lead="What this link showed was deleted, so it opens nothing any more. Nothing was changed.",
    unknown="This link is not valid",
    unknown_lead="Please use the whole link from the message. Nothing was changed.",
    away="This is not possible just now",
    away_lead="We cannot reach our records. Please open the page again in a moment and see what is saved there.",
    misread="That did not work",
    misread_lead="The page has no such choice. Please open it again and use its buttons. Nothing was changed.",
    contested="Somebody else changed this at the same moment. Please look at it again and repeat your choice.",
    changed="The text has changed since you opened the page. Please read it and choose again. Nothing was changed.",
    restricted="Restricted: your data is stored and not used.",
    lifted="No longer restricted: your data is used as you have chosen.",
    resting="not used while your data is restricted",
    resting_unasked="not used while your data is restricted, afterwards until you refuse",
    objected_to="not used, because you have objected to:",
    unasked_open="In use until you refuse",
    off_with_all="Off, because you have stopped this way altogether",
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
        "other": "Other ways",
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
    labels=_LABELS_EN,
    signals=_SIGNALS_EN,
    yes_no=("yes", "no"),
    point=".",
    date="{day} {month} {year}",
    months=_MONTHS_EN,
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
    oldest="Das Älteste davon ist vom",
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
    refuse="Ablehnen",
    allow="Erlauben",
    stop="Beenden",
    saved="Gespeichert. Das gilt ab sofort.",
    contract="Für unseren Vertrag mit Ihnen nötig; es endet mit dem Vertrag.",
    erased="Was Sie vorher entschieden hatten, wurde gelöscht",
    language="Sprache",
    expired="Dieser Link ist abgelaufen",
    expired_lead="Links gelten nur begrenzte Zeit. Bitte fordern Sie einen neuen an. Es wurde nichts geändert.",
    gone="Ihre Daten wurden gelöscht",
    gone_lead="Was dieser Link zeigte, wurde gelöscht; er öffnet nichts mehr. Es wurde nichts geändert.",
    unknown="Dieser Link ist ungültig",
    unknown_lead="Bitte verwenden Sie den ganzen Link aus der Nachricht. Es wurde nichts geändert.",
    away="Das geht gerade nicht",
    away_lead="Wir erreichen unsere Daten nicht. Bitte öffnen Sie die Seite gleich noch einmal und sehen Sie nach.",
    misread="Das hat nicht funktioniert",
    misread_lead="Diese Wahl gibt es nicht. Bitte öffnen Sie die Seite noch einmal. Es wurde nichts geändert.",
    contested="Jemand hat das im selben Moment geändert. Bitte sehen Sie es noch einmal an und wiederholen Sie es.",
    changed="Der Text ist inzwischen ein anderer. Bitte lesen Sie ihn und wählen Sie neu. Es wurde nichts geändert.",
    restricted="Eingeschränkt: Ihre Daten werden gespeichert und nicht verwendet.",
    lifted="Nicht mehr eingeschränkt: Ihre Daten werden so verwendet, wie Sie entschieden haben.",
    resting="nicht verwendet, solange Ihre Daten eingeschränkt sind",
    resting_unasked="nicht verwendet, solange Ihre Daten eingeschränkt sind, danach bis Sie ablehnen",
    objected_to="nicht verwendet, weil Sie widersprochen haben:",
    unasked_open="In Verwendung, bis Sie ablehnen",
    off_with_all="Aus, weil Sie diesen Weg ganz beendet haben",
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
        "other": "Andere Wege",
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
    labels=_LABELS_DE,
    signals=_SIGNALS_DE,
    yes_no=("ja", "nein"),
    point=",",
    date="{day}. {month} {year}",
    months=_MONTHS_DE,
)
WORDS = {"en": _EN, "de": _DE}


def named(words: Words, name: str) -> str:
    """A purpose or channel as people call it; one that only this installation has keeps its own name."""
    return words.names.get(name) or name.replace("_", " ").capitalize()


def called(words: Words, name: object) -> str:
    """A trait, a part of one or a type of identifier as people call it, however it is spelt; one that is not in the
    list keeps its own name."""
    plain = _HUMP.sub("_", str(name)).lower()
    return words.labels.get(plain) or plain.replace("_", " ").replace(".", " ").capitalize()


def counted(words: Words, name: str) -> str:
    """A counter as people call it: what is counted, then in which category, by which way or in which currency."""
    what, _, category = name.partition("@")
    family, _, part = what.partition(".")
    if family == "responses" and part in words.signals:
        family, part = part, ""
    parts = (words.signals.get(family) or called(words, family), words.names.get(part, part), category)
    return " · ".join(one for one in parts if one)


def amount(words: Words, value: float, digits: int) -> str:
    """A number with so many digits behind the point, in the language's way of writing it."""
    text = f"{value:,.{digits}f}"
    return text if words.point == "." else text.translate(_COMMA)


def dated(words: Words, at: int) -> str:
    """The day of a moment (ms), in UTC."""
    day = datetime.fromtimestamp(at / 1000, UTC)
    return words.date.format(day=day.day, month=words.months[day.month - 1], year=day.year)


def timed(words: Words, at: int) -> str:
    """Day and minute of a moment (ms), in UTC."""
    return f"{dated(words, at)}, {datetime.fromtimestamp(at / 1000, UTC):%H:%M} UTC"


def explained(purpose: Purpose, language: str) -> str:
    """What a purpose means, in the language where the configuration has it, else in the first one it has."""
    return purpose.text.get(language) or next(iter(purpose.text.values()), "")
