"""The configuration directory: the demo one is valid, mistakes name file and line, a bad edit changes nothing."""

import os
import shutil
from pathlib import Path

import pytest

from engine.catalog import Catalogue
from engine.rules import Facts
from infra.config import Configuration, LiveConfiguration, load
from infra.settings import DEMO_CONFIG
from infra.yaml_source import Document, InvalidConfiguration

NOBODY = Facts({}, {}, {})


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEMO_CONFIG, tmp_path / "config"))


@pytest.fixture(scope="module")
def demo() -> Configuration:
    return load(DEMO_CONFIG)


def edit(directory: Path, name: str, old: str, new: str) -> int:
    """Replace the first `old`; answer its line."""
    path = directory / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    changed = path.stat().st_mtime_ns + 1_000_000
    os.utime(path, ns=(changed, changed))
    return text[: text.index(old)].count("\n") + 1


def service_for_everybody(catalogue: Catalogue, placement: str) -> list[str]:
    actions = catalogue.placed(placement)
    return [a.id for a in actions if a.purpose == "service" and catalogue.rules[a.id].holds(NOBODY)]


def test_demo_catalogue_offers_enough(demo: Configuration) -> None:
    assert len(demo.catalogue.actions) >= 18
    assert len(demo.catalogue.placed("agent_desktop")) >= 18
    assert {"agent_desktop", "email", "web"} <= set(demo.catalogue.placements)
    assert len(demo.catalogue.queues) >= 3


def test_every_action_speaks_both_languages_and_has_a_known_purpose(demo: Configuration) -> None:
    for action in demo.catalogue.actions.values():
        assert set(action.content) == {"en", "de"}, action.id
        assert action.purpose in demo.purposes.purposes, action.id
        assert any(demo.catalogue.placements[p].channel in action.channels for p in action.placements), action.id


def test_three_service_actions_are_open_to_somebody_unknown(demo: Configuration) -> None:
    assert len(service_for_everybody(demo.catalogue, "agent_desktop")) >= 3
    assert demo.purposes.purposes["service"].basis == "contract"
    assert demo.catalogue.segment.text(NOBODY) == "unknown"


@pytest.mark.parametrize("trait", ["plan", "email", "country"])
def test_contract_traits_serve(demo: Configuration, trait: str) -> None:
    assert demo.purposes.traits[trait] == "service"


def test_norway_is_a_country(demo: Configuration) -> None:
    assert demo.purposes.countries["NO"] == "GDPR"


def test_queue_rules_give_numbers(demo: Configuration) -> None:
    signals = dict.fromkeys(("complaints_1d", "complaints_30d", "contacts_30d", "unresolved_issues"), 2.0)
    signals |= {"purchases_30d": 1.0, "purchases_total": 3.0, "purchases_days": 80.0}
    facts = Facts({"plan": "basic", "tenure_months": 24}, signals, {})
    for queue in demo.catalogue.queues:
        when, urgency = demo.catalogue.queue_rules[queue]
        assert isinstance(when.holds(facts), bool)
        assert (urgency.number(facts) or 0.0) > 0.0, queue


BAD = {
    "field": ("catalogue.yaml", "    prior_rate: 0.18", "    prior_rates: 0.18", "prior_rates"),
    "type": ("catalogue.yaml", "value: 16.0", "value: plenty", "without quotes or units"),
    "rule": (
        "catalogue.yaml",
        "when: \"has(traits.plan) && traits.plan != 'basic'\"",
        'when: "has(traits.plan) &&"',
        "CEL",
    ),
    "purpose": ("catalogue.yaml", "purpose: marketing", "purpose: marketting", "did you mean marketing?"),
    "placement": (
        "catalogue.yaml",
        "placement: outbound_call",
        "placement: outbond_call",
        "outbound_call",
    ),
    "channel": ("catalogue.yaml", "channels: [voice, chat, email, web]", "channels: [fax]", "chat, email"),
    "twice": ("catalogue.yaml", "  - id: e_bill", "  - id: self_service_guide", "another id"),
    "basis": ("purposes.yaml", "basis: contract", "basis: contrakt", "did you mean contract?"),
    "purposes-field": ("purposes.yaml", "other_traits:", "others_traits:", "did you mean other_traits?"),
    "event": ("purposes.yaml", "Invoice Sent: service", "Invoice Sent: servise", "did you mean service?"),
    "source": ("sources.yaml", "      functional: personalization", "      functional: personal", "personalization"),
    "refusal": ("sources.yaml", "on_refusal: drop", "on_refusal: droop", "did you mean drop?"),
    "normalise": ("identity.yaml", "normalise: phone", "normalise: fone", "did you mean phone?"),
    "yaml": ("identity.yaml", 'default_region: "US"', 'default_region: "US', "quotes"),
    "signal": (
        "signals.yaml",
        "    analytics: {any: [8, 9]}",
        "    analytic: {any: [8, 9]}",
        "did you mean analytics?",
    ),
    "opt-out": ("signals.yaml", "opt_out: [sale_or_share, advertising]", "opt_out: [sale]", "sale_or_share"),
    "consent-mode": ("signals.yaml", "analytics_storage: [analytics]", "analytics_storage: [stats]", "analytics"),
    "scope": ("signals.yaml", "  scope: topic", "  scope: topics", "did you mean topic?"),
    "protected": ("models.yaml", "protected: []", "protected: [ages]", "did you mean age?"),
    "allowed": ("models.yaml", "allowed: {}", "allowed: {age: ''}", "say why models may use it"),
    "key-twice": ("identity.yaml", "  crm_id:", "  user_id:", "is there twice"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_named_by_file_and_line(directory: Path, case: str) -> None:
    file, old, new, hint = BAD[case]
    line = edit(directory, file, old, new)
    with pytest.raises(InvalidConfiguration) as caught:
        load(directory)
    assert caught.value.file == file
    assert hint in str(caught.value)
    # an unclosed quote is noticed where it should have closed, a missing field at the item that lacks it
    if case not in ("yaml", "field"):
        assert caught.value.line == line


def test_a_missing_file_is_named(directory: Path) -> None:
    (directory / "purposes.yaml").unlink()
    with pytest.raises(InvalidConfiguration, match=r"purposes\.yaml:1: the file is missing"):
        load(directory)


def test_optional_files_have_defaults(directory: Path) -> None:
    (directory / "sources.yaml").unlink()
    (directory / "identity.yaml").unlink()
    found = load(directory)
    assert found.source("anything").on_refusal == "keep"
    assert found.identity.type_of("email").normalise == "email"


def test_an_edit_is_taken_and_a_bad_one_is_reported(directory: Path) -> None:
    live = LiveConfiguration(directory)
    assert not live.maybe_reload()
    edit(directory, "catalogue.yaml", 'version: "demo-1"', 'version: "demo-2"')
    assert live.maybe_reload()
    assert live.current.catalogue.version == "demo-2"
    line = edit(directory, "catalogue.yaml", "limit: 5", "limit: many")
    assert not live.maybe_reload()
    assert live.current.catalogue.version == "demo-2"
    assert live.problem.startswith(f"catalogue.yaml:{line}: ")
    edit(directory, "catalogue.yaml", "limit: many", "limit: 4")
    assert live.maybe_reload()
    assert live.problem == ""
    assert live.current.catalogue.placements["agent_desktop"].limit == 4


def test_dates_and_plain_words_stay_text(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("day: 2026-01-31\nland: NO\nopen: true\nlist:\n  - {a: 1}\n", encoding="utf-8")
    document = Document(path)
    assert document.data == {"day": "2026-01-31", "land": "NO", "open": True, "list": [{"a": 1}]}
    assert document.line_of("list[0].a") == 5
