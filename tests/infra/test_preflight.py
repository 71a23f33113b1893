"""Before anything is installed: what is missing is named with the package that brings it."""

import ast
import subprocess
import sys
from pathlib import Path

from infra.deploy import preflight
from infra.deploy.preflight import Need, loads, missing, openmp_names

OLD_PYTHON = (3, 7)


def test_a_machine_that_runs_the_tests_lacks_nothing() -> None:
    assert missing() == []


def test_a_missing_need_is_named_with_its_package() -> None:
    needs = (Need("fire", lambda: False, "Debian: apt-get install matches"), Need("air", lambda: True, "breathe"))
    assert missing(needs) == ["Rapport needs fire.\n  Debian: apt-get install matches"]


def test_the_openmp_remedy_names_a_package_for_each_system() -> None:
    remedy = next(need.remedy for need in preflight.NEEDS if "libgomp" in need.name)
    assert all(package in remedy for package in ("libgomp1", "dnf install libgomp", "brew install libomp"))


def test_a_library_that_is_not_there_does_not_load() -> None:
    assert not loads("libgomp.so.none")
    assert any(loads(name) for name in openmp_names())


def test_it_parses_on_a_python_too_old_for_the_rest() -> None:
    source = Path(preflight.__file__).read_text()
    assert ast.parse(source, feature_version=OLD_PYTHON).body


def test_it_needs_nothing_installed() -> None:
    done = subprocess.run([sys.executable, "-I", "-S", preflight.__file__], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
