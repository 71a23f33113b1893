"""Nobody reads personal data around `reveal`, and a planted bypass is found."""

from pathlib import Path

import pytest

from tests.architecture.gate import GATED, bypasses
from tests.architecture.tree import LAYERS, ROOT, modules

PLANTED = {
    "a vector of a profile": ("features/compute.py", "def vector(seen: Profile, at: int) -> Row: ..."),
    "a decision on a view": ("engine/decision.py", "def decide(views: Sequence[PersonView]) -> None: ..."),
    "an outreach in quotes": ("engine/outreach.py", "def urgency(who: 'Profile') -> float: ..."),
    "facts of a fragment": ("engine/catalog.py", "def facts(of: Fragment | None) -> None: ..."),
    "a route that looks inside": ("api/routes/desk.py", "x = view.profile.state.traits['email']"),
    "a model that looks inside": ("models/serving.py", "state = profile.state\ny = state.signals"),
    "a page that looks inside": ("api/templates.py", "def f(v):\n    return [m for m in v.state.timeline]"),
}


def test_everybody_goes_through_the_gate() -> None:
    assert bypasses(modules(ROOT, *LAYERS)) == []


def test_the_gated_files_are_there() -> None:
    assert all((ROOT / path).exists() for path in GATED)


@pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED)
def test_a_planted_bypass_is_found(tmp_path: Path, planted: tuple[str, str]) -> None:
    path, text = planted
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(text)
    found = bypasses(modules(tmp_path, *LAYERS))
    assert len(found) == 1
    assert found[0].startswith(f"{path}:")
