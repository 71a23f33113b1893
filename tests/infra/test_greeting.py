"""What `rapport up` prints when all is up: whole lines, and a command that is there."""

import sys
from io import StringIO
from typing import Any, cast

import pytest
from rich.console import Console

from infra import cli
from infra.settings import Settings
from infra.up import Running


class Broker:
    name = "broker"


@pytest.mark.parametrize("called", [".venv/bin/rapport", "/opt/a[b]c/rapport"])
def test_no_line_breaks_in_a_terminal_of_80_columns(monkeypatch: pytest.MonkeyPatch, called: str) -> None:
    out = StringIO()
    monkeypatch.setattr(cli, "console", Console(file=out, width=80))
    monkeypatch.setattr(sys, "argv", [called, "up"])
    running = Running(Settings(), [cast("Any", Broker())])
    cli._announce(running, {"preferences": f"rk_{'0' * 40}"})
    *box, hint = out.getvalue().splitlines()
    inside = [line.strip("│ ") for line in box[1:-1]]
    assert inside[-3:] == [
        "The broker is the embedded one: events accepted but not yet applied",
        "(under a second's worth) are lost if this machine or the broker process",
        "dies. Set RAPPORT_KAFKA_URL for a real Kafka.",
    ]
    assert called in hint
    assert hint.endswith(" demo in another terminal. Ctrl-C stops.")
