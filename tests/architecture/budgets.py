"""How long a file and a function may be, how many parameters it may take, and what each file must say first."""

import ast
from collections.abc import Callable, Iterable, Iterator

from tests.architecture.tree import Module, functions

FILE_LINES = 350
FUNCTION_LINES = 50
PARAMETERS = 5
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef

Check = Callable[[Module], Iterator[str]]


def long_files(module: Module) -> Iterator[str]:
    lines = len(module.text.splitlines())
    if lines > FILE_LINES:
        yield f"{module.path}: {lines} lines; at most {FILE_LINES}"


def missing_docstrings(module: Module) -> Iterator[str]:
    if module.text.strip() and not ast.get_docstring(module.tree):
        yield f"{module.path}: opens without saying what it is for"


def long_functions(module: Module) -> Iterator[str]:
    for function in functions(module):
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        if lines > FUNCTION_LINES:
            yield f"{module.path}:{function.lineno}: {function.name} has {lines} lines; at most {FUNCTION_LINES}"


def many_parameters(module: Module) -> Iterator[str]:
    for function in functions(module):
        count = len(parameters(function))
        if count > PARAMETERS:
            yield f"{module.path}:{function.lineno}: {function.name} takes {count} parameters; at most {PARAMETERS}"


def parameters(function: FUNCTION) -> list[str]:
    named = (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)
    return [arg.arg for arg in named if arg.arg not in {"self", "cls"}]


def unexplained_local_imports(module: Module) -> Iterator[str]:
    lines = module.text.splitlines()
    for function in functions(module):
        for node in ast.walk(function):
            if isinstance(node, ast.Import | ast.ImportFrom) and "reason:" not in lines[node.lineno - 1]:
                yield f"{module.path}:{node.lineno}: an import inside {function.name} without a written reason"


def breaches(modules: Iterable[Module], *checks: Check) -> list[str]:
    return [line for module in modules for check in checks for line in check(module)]
