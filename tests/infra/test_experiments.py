"""`experiments.yaml` is checked by file and line and reloaded; what was tried is measured over the archive."""

import shutil
from pathlib import Path

import pytest

from engine.consent import DENIED, RESTRICTION, Statement
from engine.experiment import CONTROL, ENGINE, in_control
from engine.identity import Person
from engine.ports import ConsentChange
from engine.signals import DAY
from infra.clock import now_ms
from infra.config import LiveConfiguration, load
from infra.consent_opening import open_consents
from infra.experiments import measure
from infra.findings_store import StoredFindings
from infra.processes import RunningServer
from infra.redis_store import connect
from infra.redis_store_links import LinkStore
from infra.rules_store import RulesStore
from infra.settings import DEMO_CONFIG, Settings
from infra.yaml_source import InvalidConfiguration
from models.trial import Findings, Found, Scope
from tests.api.trying import try_out
from tests.api.world import ADMIN, Rig
from tests.infra.test_parity import archived
from tests.servers import database

FILE = "experiments.yaml"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEMO_CONFIG, tmp_path / "config"))


def edit(directory: Path, old: str, new: str) -> int:
    """Replace once; returns the line."""
    path = directory / FILE
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return text[: text.index(old)].count("\n") + 1


BAD = {
    "a share": ("{id: short, share: 0.5}", "{id: short, share: 5}", "between 0 and 1"),
    "a field": ("    default: full", "    defaults: full", "defaults"),
    "a purpose": ("    purpose: personalization\n    placements", "    purpose: fun\n    placements", "known are"),
    "a placement": ("placements: [agent_desktop]", "placements: [agent_deskop]", "agent_desktop"),
    "a slate": ("slate: uniform", "slate: best", "prior"),
    "a word": ("{id: short, share: 0.5}", "{id: short, share: half}", "without quotes or units"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_named_by_file_and_line(directory: Path, case: str) -> None:
    old, new, hint = BAD[case]
    line = edit(directory, old, new)
    with pytest.raises(InvalidConfiguration) as caught:
        load(directory)
    assert caught.value.file == FILE
    assert hint in str(caught.value)
    if case != "a field":
        assert caught.value.line == line


def test_without_the_file_nothing_is_tried(directory: Path) -> None:
    (directory / FILE).unlink()
    found = load(directory)
    assert found.allocation.plan.idle
    assert found.allocation.catalogues == (found.catalogue,)


def test_an_edit_is_taken_and_a_bad_one_is_reported(directory: Path) -> None:
    live = LiveConfiguration(directory)
    edit(directory, "share: 0.0", "share: 0.05")
    assert live.maybe_reload()
    assert live.current.allocation.plan.control.share == 0.05
    line = edit(directory, "share: 0.05", "share: 5.0")
    assert not live.maybe_reload()
    assert live.problem.startswith(f"{FILE}:{line}: ")
    assert live.current.allocation.plan.control.share == 0.05


def test_every_catalogue_that_may_serve_is_kept(directory: Path, tmp_path: Path) -> None:
    rules = RulesStore(tmp_path / "rules")
    edit(directory, "share: 0.0", "share: 0.05")
    live = LiveConfiguration(directory, rules.keep_all)
    control = live.current.allocation.catalogue({CONTROL: CONTROL})
    assert control is not live.current.catalogue
    assert live.current.allocation.catalogue({CONTROL: ENGINE}) is live.current.catalogue
    assert rules.catalogue(control.digest).documents == control.documents


def test_findings_are_kept_and_read_back(tmp_path: Path) -> None:
    store = StoredFindings(tmp_path / "models")
    assert store.latest() is None
    store.keep(Findings(7, 3))
    assert store.latest() == Findings(7, 3)
    (tmp_path / "models" / "experiments.json").write_text("{")
    assert store.latest() is None


PEOPLE, WINDOW, DATABASE = 40, DAY, 13


async def lived(rig: Rig) -> None:
    """Everybody is decided about once; who is not in the control group accepts."""
    async with rig.client(ADMIN) as client:
        for n in range(PEOPLE):
            question = {"profile": f"user_id:u-{n}", "placement": "web"}
            body = (await client.post("/v1/decisions", json=question)).json()
            made = rig.state.decisions[body["decision_id"]]
            said = {
                "decision_id": made.decision_id,
                "action_id": body["actions"][0]["action_id"],
                "outcome": "accepted",
            }
            if made.arms[CONTROL] == ENGINE:
                assert (await client.post("/v1/outcomes", json=said)).status_code == 200


RESTRICTED = ConsentChange(settings={RESTRICTION: "1"})
WITHDREW = ConsentChange({"personalization": Statement(DENIED, 1, "page")})


async def said(settings: Settings, changes: dict[str, ConsentChange]) -> None:
    side = open_consents(settings, now_ms)
    await side.consents.write(changes)
    await side.end()
    await side.redis.aclose()


async def test_what_was_tried_is_measured_over_the_archive(
    directory: Path, tmp_path: Path, embedded_redis: RunningServer
) -> None:
    """Two people of different arms turned out to be one, and another has had all use restricted: they leave the
    analysis and are counted. Whoever withdrew what the decision rested on stays."""
    edit(directory, "share: 0.0, slate: uniform, purpose: personalization", "share: 0.5, purpose: service")
    rig = Rig()
    try_out(rig, control={"share": 0.5, "purpose": "service"})
    await lived(rig)
    plan = rig.configuration.current.allocation.plan
    ids = [rig.id_of(f"user_id:u-{n}") for n in range(PEOPLE)]
    inside = [i for i in ids if in_control(plan, i)]
    outside = [i for i in ids if not in_control(plan, i)]
    url = database(embedded_redis.url, DATABASE)
    redis = connect(url)
    await redis.flushdb()
    await LinkStore(redis, 8).publish([Person((inside[0], outside[0]))], 1)
    await redis.aclose()
    archive = archived(rig, tmp_path)
    settings = archive.model_copy(update={"config_dir": directory, "redis_url": url})
    await said(settings, {outside[1]: RESTRICTED, outside[2]: WITHDREW, inside[1]: WITHDREW})
    found = await measure(settings, Scope(rig.clock() + 8 * DAY, WINDOW))
    assert StoredFindings(settings.models_dir).latest() == found
    control: Found = found.experiments[0]
    assert (control.crossed, control.waiting, found.decisions) == (1, 0, PEOPLE)
    assert control.outside == {"restriction": 1}
    assert {arm.arm: (arm.judged, arm.mean) for arm in control.arms} == {
        CONTROL: (len(inside) - 1, 0.0),
        ENGINE: (len(outside) - 2, 1.0),
    }
    early = await measure(settings, Scope(rig.clock() + 8 * DAY - 1, WINDOW))
    assert early.experiments[0].waiting == PEOPLE - 3
