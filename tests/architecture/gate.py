"""The one door to personal data: whatever weighs, computes or answers takes a `Visible`, and nobody looks into a
profile or a fragment around `engine.consent.reveal`."""

import ast
from collections.abc import Iterator
from fnmatch import fnmatchcase

from tests.architecture.tree import Module

# what a reader takes must be annotated so, by function name in these files
GATED = ("features/compute.py", "engine/decision.py", "engine/outreach.py", "engine/catalog.py")
PEOPLE = frozenset({"Profile", "Fragment", "PersonView", "Stored", "State"})
# fields of a profile's state that hold personal data
PERSONAL = frozenset(
    {"traits", "signals", "latest", "issues", "contacts", "timeline", "accounts", "identifiers", "declines"}
)
# who may look at a state and why: these fold or merge it, show it at the gate, or carry it whole without reading it
INSIDE = (
    "engine/*.py",
    "infra/*.py",
    "models/gate.py",  # the gate of decisions: takes a person, gives out sights
    "models/recorded.py",  # a profile made of what a record shows as visible
    "models/what_if.py",  # replaces an input of a profile whose purpose it has checked
    "api/preference_page.py",  # a person's own page about themselves, behind a link only they are sent
    "api/export_view.py",  # a person's own copy of everything, for the rights of access and portability
    "api/routes/links.py",  # the type of an identifier, no value
)


def bypasses(modules: list[Module]) -> list[str]:
    """Every place that goes around the gate."""
    return [found for module in modules for found in (*_signatures(module), *_looks(module))]


def _named(annotation: ast.expr | None) -> set[str]:
    if annotation is None:
        return set()
    text = annotation.value if isinstance(annotation, ast.Constant) else None
    tree = ast.parse(text, mode="eval") if isinstance(text, str) else annotation
    return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}


def _signatures(module: Module) -> Iterator[str]:
    if module.path not in GATED:
        return
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        for argument in arguments:
            for name in sorted(_named(argument.annotation) & PEOPLE):
                yield f"{module.path}:{node.lineno}: {node.name} takes a {name}, not a Visible"


def _looks(module: Module) -> Iterator[str]:
    if any(fnmatchcase(module.path, pattern) for pattern in INSIDE):
        return
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Attribute) or node.attr not in PERSONAL:
            continue
        if isinstance(node.value, ast.Attribute) and node.value.attr == "state":
            yield f"{module.path}:{node.lineno}: looks at .state.{node.attr} around reveal"
        if isinstance(node.value, ast.Name) and node.value.id == "state":
            yield f"{module.path}:{node.lineno}: looks at state.{node.attr} around reveal"
