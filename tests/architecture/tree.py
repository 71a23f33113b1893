"""The project's source as syntax trees: what each module imports and how long its parts are."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
LAYERS = ("api", "infra", "models", "features", "engine")


@dataclass(frozen=True, slots=True)
class Module:
    """One source file: its path from the project's root, with slashes, and its text, parsed."""

    path: str
    text: str
    tree: ast.Module


def modules(root: Path, *packages: str) -> list[Module]:
    """Every Python file of the packages below `root`."""
    files = (file for package in packages for file in sorted((root / package).rglob("*.py")))
    return [read(root, file) for file in files if "node_modules" not in file.parts]


def read(root: Path, file: Path) -> Module:
    text = file.read_text()
    return Module(file.relative_to(root).as_posix(), text, ast.parse(text, filename=str(file)))


def imported(module: Module) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything the module imports, however deep; relative imports start with a dot."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")
        elif isinstance(node, ast.Call) and called(node) in {"import_module", "__import__"}:
            yield from ((node.lineno, str(arg.value)) for arg in node.args[:1] if isinstance(arg, ast.Constant))


def called(node: ast.Call) -> str:
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def functions(module: Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(module.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
