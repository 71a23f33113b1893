"""Nobody reads personal data around `reveal`, and a planted bypass is found."""

from pathlib import Path

import pytest

from tests.architecture.gate import GATED, INSIDE, OTHERS_IN, bypasses, looks
from tests.architecture.tree import LAYERS, ROOT, modules

PLANTED = {
    "a vector of a profile": ("features/compute.py", "def vector(seen: Profile, at: int) -> Row: ..."),
    "a decision on a view": ("engine/decision.py", "def decide(views: Sequence[PersonView]) -> None: ..."),
    "an outreach in quotes": ("engine/outreach.py", "def urgency(who: 'Profile') -> float: ..."),
    "facts of a fragment": ("engine/catalog.py", "def facts(of: Fragment | None) -> None: ..."),
    "a route that looks inside": ("api/routes/desk.py", "x = view.profile.state.traits['email']"),
    "a model that looks inside": ("models/serving.py", "state = profile.state\ny = state.signals"),
    "a page that looks inside": ("api/templates.py", "def f(v):\n    return [m for m in v.state.timeline]"),
    "a route that keeps a state": ("api/routes/desk.py", "kept = view.profile.state\nx = kept.traits['email']"),
    "a model that asks by name": ("models/serving.py", "x = getattr(p.state, 'traits')"),
    "a state asked for by name": ("models/serving.py", "x = getattr(p, 'state')"),
    "a state asked for through a getter": ("infra/export.py", "x = attrgetter('profile.state.traits')(view)"),
    "a state taken by a pattern": ("infra/history.py", "match p:\n    case Profile(state=kept): ..."),
    "a fragment under another name": ("api/routes/outreach.py", "for f in kept:\n    x = f.state"),
    "a state in a route that has others": ("api/routes/opt_in.py", "x = view.profile.state"),
    "a row that is published": ("infra/stream/publish.py", "def row(v):\n    return v.profile.state.traits"),
    "a file beside those that may": ("infra/settings.py", "x = view.profile.state.count"),
    "a file below those that may": ("infra/stream/outbox.py", "x = stored.fragment.state"),
    "a rule that looks inside": ("engine/decision.py", "def f(p):\n    return p.state.contacts"),
    "a state as an argument": ("api/answers.py", "def f(state: Any) -> Any:\n    return state.identifiers"),
    "a module that knows states": ("api/answers.py", "from engine.profile import State"),
    "outreach to a profile": ("models/outreach.py", "def score(profile: Profile) -> float: ..."),
    "a score of many": ("models/serving.py", "def score(*people: Sequence['Profile']) -> float: ..."),
    "a published fragment": ("infra/stream/publish.py", "async def row(self, of: profile.Fragment) -> None: ..."),
    "a profile by another name": (
        "models/outreach.py",
        "from engine.profile import Profile as Who\ndef score(who: Who) -> float: ...",
    ),
}
ALLOWED = {
    "the gate itself": ("engine/consent.py", "def f(profile):\n    return profile.state.traits"),
    "a person to be put through the gate": ("models/outreach.py", "def turns(view: PersonView) -> None: ..."),
    "what the application keeps": ("api/routes/decisions.py", "x = request.app.state"),
    "where an opt-in stands": ("api/routes/opt_in.py", "x = link.state"),
    "another thing of that name": ("api/answers.py", "x = getattr(row, 'purposes')"),
}


def test_everybody_goes_through_the_gate() -> None:
    assert bypasses(modules(ROOT, *LAYERS)) == []


def test_the_gated_files_are_there() -> None:
    assert [path for path in (*GATED, *INSIDE, *OTHERS_IN) if not (ROOT / path).exists()] == []


def test_nobody_may_look_who_does_not() -> None:
    named = {module.path: module for module in modules(ROOT, *LAYERS)}
    assert [path for path in INSIDE if not list(looks(named[path]))] == []


def found_in(root: Path, path: str, text: str) -> list[str]:
    file = root / path
    file.parent.mkdir(parents=True)
    file.write_text(text)
    return bypasses(modules(root, *LAYERS))


@pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED)
def test_a_planted_bypass_is_found(tmp_path: Path, planted: tuple[str, str]) -> None:
    found = found_in(tmp_path, *planted)
    assert found
    assert all(one.startswith(f"{planted[0]}:") for one in found)


@pytest.mark.parametrize("allowed", ALLOWED.values(), ids=ALLOWED)
def test_what_is_no_bypass_is_let_be(tmp_path: Path, allowed: tuple[str, str]) -> None:
    assert found_in(tmp_path, *allowed) == []
