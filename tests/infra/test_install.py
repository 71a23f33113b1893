"""The installer reports how far pip is, and pip's last words when it fails; of a newer pip nothing is said."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra.deploy import install

ROOT = Path(__file__).parents[2]


def test_a_package_nobody_offers_fails_with_pips_words(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    lock = tmp_path / "x.lock"
    lock.write_text(f"--no-index\nrapport-has-no-such-package==1 --hash=sha256:{'0' * 64}\n")
    assert install.main(lock) != 0
    said = capfd.readouterr().err
    assert "(1 packages;" in said
    assert "No matching distribution" in said
    assert "Is a package index reachable" in said


def test_an_empty_list_installs(tmp_path: Path) -> None:
    lock = tmp_path / "x.lock"
    lock.write_text("# nothing\n")
    assert install.main(lock) == 0


def test_only_the_end_of_a_long_output_is_kept() -> None:
    talk = "for i in range(100): print('Collecting', i)"
    with subprocess.Popen([sys.executable, "-c", talk], stdout=subprocess.PIPE, text=True) as process:
        kept = install.follow(process, 100)
    assert list(kept) == [f"Collecting {i}\n" for i in range(100 - install.KEPT_LINES, 100)]


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_pip_is_silent_about_a_newer_pip() -> None:
    asked = f"include {ROOT / 'Makefile'}\nasked: ; @echo said=$$PIP_DISABLE_PIP_VERSION_CHECK"
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "MAKE", "MFLAGS"))}
    done = subprocess.run(
        ["make", "-f", "-", "asked"], input=asked, env=bare, text=True, capture_output=True, check=True
    )
    assert done.stdout.strip() == "said=1"
