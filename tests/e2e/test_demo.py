"""`rapport demo` beside a running installation: real purchases and a real bandit log come out exactly right."""

import subprocess
from pathlib import Path

import pytest

from tests.e2e.stack import RAPPORT, rapport_up


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_demonstration_runs_and_is_right(tmp_path: Path) -> None:
    with rapport_up(tmp_path) as stack:
        done = subprocess.run(
            [RAPPORT, "demo", "--quick", "--seed", "3"],
            env=stack.environment,
            cwd=stack.home,
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
    said = done.stdout
    assert done.returncode == 0, said + done.stderr + stack.log.read_text()
    assert "2,357 profiles against pandas: count, sum and last purchase all equal" in said
    assert "2,869 (reference   2,869)" in said
    assert "0.00574 (reference 0.00574)" in said
    assert "SIMULATOR" in said
    assert "hard enough" in said
    report = stack.home / "data" / "demo" / "report.html"
    assert str(report) in said
    assert "simulator" in report.read_text(encoding="utf-8")
    assert {path.name for path in report.parent.glob("*.png")} == {"cdnow.png", "open_bandit.png", "closed_loop.png"}
