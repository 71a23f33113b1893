"""The one door to personal data: whatever weighs, computes or answers takes a `Visible`, and nobody looks into a
profile or a fragment around `engine.consent.reveal`."""

import ast
from collections.abc import Iterator

from tests.architecture.tree import Module, called

PEOPLE = frozenset({"Profile", "Fragment", "PersonView", "Stored", "State"})
# These are handed a person as stored, and may do one thing with it: put it through the gate.
_HANDED = PEOPLE - {"PersonView"}
# what the functions of a file may not take, by their annotations
GATED = {
    "features/compute.py": PEOPLE,
    "engine/decision.py": PEOPLE,
    "engine/outreach.py": PEOPLE,
    "engine/catalog.py": PEOPLE,
    "models/outreach.py": _HANDED,
    "models/serving.py": _HANDED,
    "infra/stream/publish.py": _HANDED,
}
# fields of a profile's state that hold personal data
PERSONAL = frozenset(
    {"traits", "signals", "latest", "issues", "contacts", "timeline", "accounts", "identifiers", "declines"}
)
# Who may look at a state and why. Files by name: a pattern would let in whatever is put beside them.
INSIDE = frozenset(
    {
        "engine/consent.py",  # `reveal` itself, and the country that says which law holds
        "engine/erasure.py",  # how much is kept and since when
        "engine/experiment.py",  # whether the person was known before
        "engine/ports.py",  # the merged person, its versions, and the contacts that contact policy counts
        "engine/profile.py",  # fold and merge
        "engine/quiet.py",  # the time zones of phone numbers, where service is open
        "engine/step.py",  # fold
        "infra/memory.py",  # how much is kept, when erasing
        "infra/redis_store_erasure.py",  # how much is kept, when erasing
        "infra/stream/advance.py",  # how much is kept, when erasing
        "infra/bench/chaos_check.py",  # whether two states are equal
        "infra/bench/crowd.py",  # makes people up
        "infra/bench/memory.py",  # how many bytes each part takes
        "infra/bench/planted.py",  # whether two states of people made up are equal
        "models/gate.py",  # the gate of decisions: takes a person, gives out sights
        "models/recorded.py",  # a profile made of what a record shows as visible
        "models/what_if.py",  # replaces an input of a profile whose purpose it has checked
        "api/preference_page.py",  # a person's own page about themselves, behind a link only they are sent
        "api/routes/preferences.py",  # the same page: how much is kept and since when
        "api/export_view.py",  # a person's own copy of everything, for the rights of access and portability
        "api/routes/links.py",  # the type of an identifier, no value
    }
)
# What else has a state that is nobody's: by the expression it is read off, anywhere or in one file.
OTHERS = frozenset({"self", "app", "request", "request.app"})
OTHERS_IN = {
    "api/routes/opendsr.py": frozenset({"_kept()"}),  # of a request
    "api/routes/opt_in.py": frozenset({"wanted", "link"}),  # of an opt-in
    "engine/data_request.py": frozenset({"request"}),
    "engine/opt_in.py": frozenset({"opt_in"}),
    "infra/ledger_store_requests.py": frozenset({"row", "request", "_REQUESTS.c"}),  # a column
    "infra/ledger_store_tokens.py": frozenset({"row", "opt_in", "_OPT_INS.c"}),  # a column
    "infra/memory_opt_ins.py": frozenset({"found"}),
    "infra/memory_requests.py": frozenset({"found", "one"}),
}


def bypasses(modules: list[Module]) -> list[str]:
    """Every place that goes around the gate."""
    looked = (found for module in modules if module.path not in INSIDE for found in looks(module))
    return [*(found for module in modules for found in _signatures(module)), *looked]


def _aliases(module: Module) -> dict[str, str]:
    """Names under which the module imports the types of people, with what they are called at home."""
    imports = (node for node in ast.walk(module.tree) if isinstance(node, ast.ImportFrom))
    return {a.asname or a.name: a.name for node in imports for a in node.names if a.name in PEOPLE}


def _named(annotation: ast.expr | None) -> set[str]:
    """Every name in an annotation, also in its quoted parts."""
    found: set[str] = set()
    for node in ast.walk(annotation) if annotation is not None else ():
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= _named(ast.parse(node.value, mode="eval").body)
    return found


def _signatures(module: Module) -> Iterator[str]:
    closed, aliases = GATED.get(module.path), _aliases(module)
    if closed is None:
        return
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        more = (one for one in (node.args.vararg, node.args.kwarg) if one is not None)
        for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, *more):
            taken = {aliases.get(name, name) for name in _named(argument.annotation)}
            for name in sorted(taken & closed):
                yield f"{module.path}:{node.lineno}: {node.name} takes a {name}, not a Visible"


def looks(module: Module) -> Iterator[str]:
    """Every place where the module looks at a person's state, whether or not it may."""
    others = OTHERS | OTHERS_IN.get(module.path, frozenset())
    for node in ast.walk(module.tree):
        if (look := _look(node, others)) is not None:
            yield f"{module.path}:{getattr(node, 'lineno', 0)}: {look} around reveal"


def _look(node: ast.AST, others: frozenset[str]) -> str | None:
    match node:
        case ast.Attribute(value=ast.Name(id="state"), attr=attr) if attr in PERSONAL:
            return f"looks at state.{attr}"
        case ast.Attribute(value=whose, attr="state") if _spelt(whose) not in others:
            return f"looks at {_spelt(whose)}.state"
        case ast.Call(args=[first, *_]) if _asks_by_name(node) and _spelt(first) not in others:
            return f"looks at a state by {called(node)}"
        case ast.MatchClass(kwd_attrs=names) if "state" in names:
            return "takes a state out by a pattern"
        case ast.ImportFrom(module="engine.profile", names=names) if any(one.name == "State" for one in names):
            return "knows what a State is"
        case _:
            return None


def _spelt(whose: ast.expr) -> str:
    """An expression as text; a call without what it is given."""
    called_for = whose.value if isinstance(whose, ast.Await) else whose
    return f"{ast.unparse(called_for.func)}()" if isinstance(called_for, ast.Call) else ast.unparse(called_for)


def _asks_by_name(call: ast.Call) -> bool:
    return called(call) in {"getattr", "attrgetter"} and any(map(_names_state, call.args))


def _names_state(argument: ast.expr) -> bool:
    value = argument.value if isinstance(argument, ast.Constant) else None
    return isinstance(value, str) and "state" in value.split(".")
