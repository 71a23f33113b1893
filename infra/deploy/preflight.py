"""Says whether this machine can hold Rapport, and which package to install where it cannot.

Runs before anything is installed and under any Python 3, so it knows the standard library only.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
import platform
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

OLDEST = (3, 11)
MAC_OPENMP = ("/opt/homebrew/opt/libomp/lib/libomp.dylib", "/usr/local/opt/libomp/lib/libomp.dylib")


class Need(NamedTuple):
    """Something the machine must have: its name, whether it is there, and what to do when it is not."""

    name: str
    present: Callable[[], bool]
    remedy: str


def new_enough() -> bool:
    return sys.version_info[:2] >= OLDEST


def makes_venvs() -> bool:
    return all(importlib.util.find_spec(module) for module in ("venv", "ensurepip"))


def loads_openmp() -> bool:
    """Whether the OpenMP library that LightGBM's wheel links to can be loaded."""
    return any(loads(name) for name in openmp_names())


def openmp_names() -> Iterable[str]:
    if platform.system() != "Darwin":
        return ("libgomp.so.1",)
    found = ctypes.util.find_library("omp")
    return (*MAC_OPENMP, found) if found else MAC_OPENMP


def loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


NEEDS = (
    Need(
        "Python %d.%d or newer (this is %d.%d)" % (*OLDEST, *sys.version_info[:2]),  # noqa: UP031 reason: runs on old Pythons
        new_enough,
        "Install it and name it: make up PYTHON=python3.12",
    ),
    Need(
        "Python's venv module",
        makes_venvs,
        "Debian/Ubuntu: apt-get install python3-venv    Fedora: dnf install python3-libs",
    ),
    Need(
        "the OpenMP run time (libgomp.so.1), which LightGBM needs",
        loads_openmp,
        "Debian/Ubuntu: apt-get install libgomp1    Fedora: dnf install libgomp    macOS: brew install libomp",
    ),
)


def missing(needs: Iterable[Need] = NEEDS) -> list[str]:
    """One sentence for each need that is not met."""
    return ["Rapport needs {}.\n  {}".format(need.name, need.remedy) for need in needs if not need.present()]  # noqa: UP032


def main() -> int:
    complaints = missing()
    for complaint in complaints:
        sys.stderr.write(complaint + "\n")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
