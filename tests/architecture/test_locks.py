"""The lock files: every package with its hashes, no address to fetch it from, one version for running and testing."""

import json
import re

import pytest

from tests.architecture.tree import ROOT

LOCKS = ("requirements.lock", "requirements-dev.lock")
PINNED = re.compile(r"^([a-z0-9][a-z0-9._-]*==[^\s;\\]+(?: ; [^\\]+)?) \\$", re.MULTILINE)


def pinned(name: str) -> set[str]:
    return {line.strip() for line in PINNED.findall((ROOT / name).read_text())}


@pytest.mark.parametrize("name", LOCKS)
def test_each_package_has_a_hash_and_no_address(name: str) -> None:
    text = (ROOT / name).read_text()
    entries = [entry for entry in re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE) if "==" in entry]
    assert len(entries) == len(pinned(name)) > 50
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert re.findall(r"\w+://\S+|--(?:extra-)?index-url.*|--find-links.*", text) == []


def test_the_tests_run_on_the_versions_that_serve() -> None:
    assert pinned("requirements.lock") - pinned("requirements-dev.lock") == set()


def test_the_node_lock_holds_hashes_and_no_address() -> None:
    lock = json.loads((ROOT / "tests" / "node" / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert packages
    assert [name for name, package in packages.items() if "resolved" in package or "integrity" not in package] == []
