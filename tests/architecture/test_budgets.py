"""Files, functions and parameter lists stay small, and every file says first what it is for."""

from pathlib import Path

import pytest

from tests.architecture.budgets import (
    FILE_LINES,
    FUNCTION_LINES,
    Check,
    breaches,
    long_files,
    long_functions,
    many_parameters,
    missing_docstrings,
    unexplained_local_imports,
)
from tests.architecture.tree import LAYERS, ROOT, modules

PLANTED: dict[str, tuple[Check, str]] = {
    "long file": (long_files, "x = 1\n" * (FILE_LINES + 1)),
    "long function": (long_functions, "def f():\n" + "    x = 1\n" * FUNCTION_LINES),
    "long method": (long_functions, "class A:\n    async def f(self):\n" + "        x = 1\n" * FUNCTION_LINES),
    "many parameters": (many_parameters, "def f(a, b, c, /, d, *, e, g): ..."),
    "many parameters of a method": (many_parameters, "class A:\n    def f(self, a, b, c, d, e, g): ..."),
    "no docstring": (missing_docstrings, "x = 1"),
    "local import": (unexplained_local_imports, "def f():\n    import json"),
}
WITHIN: dict[str, tuple[Check, str]] = {
    "file": (long_files, "x = 1\n" * FILE_LINES),
    "function": (long_functions, "def f():\n" + "    x = 1\n" * (FUNCTION_LINES - 1)),
    "parameters of a method": (many_parameters, "class A:\n    def f(self, a, b, c, d, e): ..."),
    "empty package": (missing_docstrings, ""),
    "explained import": (unexplained_local_imports, "def f():\n    import json  # reason: takes seconds"),
}


def test_the_source_keeps_its_budgets() -> None:
    source = modules(ROOT, *LAYERS)
    checks = (long_files, long_functions, many_parameters, missing_docstrings, unexplained_local_imports)
    assert breaches(source, *checks) == []


def test_the_tests_keep_their_budgets() -> None:
    """A test may take more than five fixtures."""
    checks = (long_files, long_functions, missing_docstrings, unexplained_local_imports)
    assert breaches(modules(ROOT, "tests"), *checks) == []


def planted(tmp_path: Path, check: Check, text: str) -> list[str]:
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "room.py").write_text(text)
    return breaches(modules(tmp_path, *LAYERS), check)


@pytest.mark.parametrize(("check", "text"), PLANTED.values(), ids=PLANTED)
def test_a_planted_breach_is_found(tmp_path: Path, check: Check, text: str) -> None:
    assert len(planted(tmp_path, check, text)) == 1


@pytest.mark.parametrize(("check", "text"), WITHIN.values(), ids=WITHIN)
def test_what_keeps_its_budget_is_no_breach(tmp_path: Path, check: Check, text: str) -> None:
    assert planted(tmp_path, check, text) == []
