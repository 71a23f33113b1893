"""What the model engineer's command line makes of what was typed."""

import pytest
from typer.testing import CliRunner

from infra import cli_models
from infra.cli import app


@pytest.mark.parametrize(
    ("typed", "moment"),
    [("", 0), ("2026-01-31", 1_769_817_600_000), ("2026-01-31T12:00:00Z", 1_769_860_800_000)],
)
def test_since_is_a_day_or_a_moment(typed: str, moment: int) -> None:
    assert cli_models._choice(1.0, "desk", "logged", typed).since == moment


def test_another_since_is_refused_with_an_example() -> None:
    said = CliRunner().invoke(app, ["train", "--since", "yesterday"])
    assert said.exit_code == 1
    assert "2026-01-31T12:00:00Z" in " ".join(said.output.split())
