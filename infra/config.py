"""The configuration directory as validated values, and its hot reload: a bad edit keeps what runs and is reported.
Knows nothing of who uses the values."""

import difflib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from engine.allocation import Allocation
from engine.catalog import Catalogue, parse_catalogue
from engine.collection import DROP, KEEP, PSEUDONYMISE, Source
from engine.consent import Purpose, Purposes
from engine.consent_signals import SignalRules
from engine.errors import InvalidCatalogue
from engine.experiment import InvalidExperiments, Plan
from engine.experiment_plan import Known, parse_plan
from engine.identifiers import NORMALISERS, IdentifierType, IdentityRules
from engine.jurisdiction import Controller, Jurisdiction
from engine.stop_messages import ALL_TOPICS, TOPIC_ONLY
from features.protection import ATTRIBUTES, Protection
from infra.yaml_source import Document, InvalidConfiguration

CATALOGUE, PURPOSES, SOURCES, IDENTITY = "catalogue.yaml", "purposes.yaml", "sources.yaml", "identity.yaml"
EXPERIMENTS = "experiments.yaml"
SIGNALS = "signals.yaml"
MODELS = "models.yaml"
FILES = (CATALOGUE, PURPOSES, SOURCES, IDENTITY, EXPERIMENTS, SIGNALS, MODELS)
DEFAULT_SOURCE = "default"
BASES = ("consent", "contract", "legal_obligation", "vital", "public_task", "legitimate_interests")
REFUSALS = (KEEP, DROP, PSEUDONYMISE)


class _SourceFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sources: dict[str, Source] = {}


class Configuration(msgspec.Struct, frozen=True):
    """Everything the directory says; parts agree with each other."""

    catalogue: Catalogue
    purposes: Purposes
    identity: IdentityRules
    sources: dict[str, Source]
    allocation: Allocation
    signals: SignalRules = SignalRules()
    protection: Protection = Protection()

    def source(self, name: str) -> Source:
        """The named source's settings, else those of `default`."""
        return self.sources.get(name) or self.sources.get(DEFAULT_SOURCE) or Source()


_HINTS: tuple[tuple[str, str], ...] = (
    ("Expected `str`", "put the value in quotes"),
    ("Expected `array`", "write a list: [a, b] or one line with a dash for each item"),
    ("Expected `object`", "write fields, one per line as name: value"),
    ("Expected `float`", "write a number without quotes or units"),
    ("Expected `int`", "write a whole number without quotes"),
    ("Expected `bool`", "write true or false"),
    ("missing required field", "add the field; docs and the demo catalogue show an example"),
    ("Undeclared", "a rule may use traits.<name>, signals.<column> and context.<key>"),
    ("undeclared", "a rule may use traits.<name>, signals.<column> and context.<key>"),
    ("ERROR: <input>", "the rule is no CEL expression; example: has(traits.plan) && traits.plan == 'basic'"),
    ("is used twice", "give one of them another id"),
)


def _hint(problem: str) -> str:
    return next((hint for part, hint in _HINTS if part in problem), "")


def _nearest(wrong: str, known: Iterator[str] | tuple[str, ...] | list[str]) -> str:
    close = difflib.get_close_matches(wrong, list(known), 1)
    return f"did you mean {close[0]}?" if close else f"known: {', '.join(sorted(known))}"


def _convert(file: Document, kind: type[Any]) -> Any:
    try:
        return msgspec.convert({} if file.data is None else file.data, kind)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at `$")
        raise file.invalid(place.rstrip("`").lstrip("."), problem, _hint(problem)) from error


def _check_fields(file: Document, place: str, data: Any, kind: type[msgspec.Struct]) -> None:
    known = [field.name for field in msgspec.structs.fields(kind)]
    for name in data if isinstance(data, Mapping) else ():
        if name not in known:
            where = f"{place}.{name}" if place else str(name)
            raise file.invalid(where, "unknown field", _nearest(str(name), known))


def _check_named(file: Document, place: str, named: str, known: tuple[str, ...]) -> None:
    if named not in known:
        raise file.invalid(place, f"{named} is not known here", _nearest(named, known))


def _catalogue(file: Document) -> Catalogue:
    try:
        return parse_catalogue({} if file.data is None else file.data)
    except InvalidCatalogue as error:
        raise file.invalid(error.path, error.message, _hint(error.message)) from error


def _purposes(file: Document) -> Purposes:
    _check_fields(file, "", file.data, Purposes)
    purposes: Purposes = _convert(file, Purposes)
    names = tuple(purposes.purposes)
    for name, purpose in purposes.purposes.items():
        place = f"purposes.{name}"
        _check_fields(file, place, file.data["purposes"][name], Purpose)
        _check_named(file, f"{place}.name", purpose.name, (name,))
        _check_named(file, f"{place}.basis", purpose.basis, BASES)
        for used in purpose.uses:
            _check_named(file, f"{place}.uses", used, names)
        for included in purpose.objection_includes:
            _check_named(file, f"{place}.objection_includes", included, names)
    for name in purposes.jurisdictions:
        _check_fields(file, f"jurisdictions.{name}", file.data["jurisdictions"][name], Jurisdiction)
    _check_fields(file, "controller", file.data.get("controller"), Controller)
    for trait, purpose_name in purposes.traits.items():
        _check_named(file, f"traits.{trait}", purpose_name, names)
    for event, purpose_name in purposes.events.items():
        _check_named(file, f"events.{event}", purpose_name, names)
    _check_named(file, "other_traits", purposes.other_traits, names)
    return purposes


def _identity(file: Document) -> IdentityRules:
    _check_fields(file, "", file.data, IdentityRules)
    rules: IdentityRules = _convert(file, IdentityRules)
    for name, kind in rules.types.items():
        _check_fields(file, f"types.{name}", file.data.get("types", {}).get(name), IdentifierType)
        _check_named(file, f"types.{name}.normalise", kind.normalise, tuple(sorted(NORMALISERS)))
    return rules


def _sources(file: Document, purposes: Purposes) -> dict[str, Source]:
    found: dict[str, Source] = _convert(file, _SourceFile).sources
    names = tuple(purposes.purposes)
    for name, one in found.items():
        place = f"sources.{name}"
        _check_named(file, f"{place}.on_refusal", one.on_refusal, REFUSALS)
        for category, purpose in one.categories.items():
            _check_named(file, f"{place}.categories.{category}", purpose, names)
        if one.collection_purpose:
            _check_named(file, f"{place}.collection_purpose", one.collection_purpose, names)
        elif one.on_refusal != "keep":
            raise file.invalid(f"{place}.on_refusal", "needs a collection_purpose", "name the purpose it refers to")
    return found


def _signals(file: Document, purposes: Purposes) -> SignalRules:
    rules: SignalRules = _convert(file, SignalRules)
    names = tuple(purposes.purposes)
    asked = {f"tcf.purposes.{purpose}": purpose for purpose in rules.tcf.purposes}
    asked.update((f"opt_out[{index}]", purpose) for index, purpose in enumerate(rules.opt_out))
    for kind, opened in rules.consent_mode.items():
        asked.update((f"consent_mode.{kind}[{index}]", purpose) for index, purpose in enumerate(opened))
    for place, purpose in asked.items():
        _check_named(file, place, purpose, names)
    _check_named(file, "stop.scope", rules.stop.scope, (TOPIC_ONLY, ALL_TOPICS))
    return rules


def _protection(file: Document) -> Protection:
    _check_fields(file, "", file.data, Protection)
    found: Protection = _convert(file, Protection)
    for index, name in enumerate(found.protected):
        _check_named(file, f"protected[{index}]", name, ATTRIBUTES)
    for name, reason in found.allowed.items():
        _check_named(file, f"allowed.{name}", name, ATTRIBUTES)
        if not reason.strip():
            raise file.invalid(f"allowed.{name}", "needs a reason", "say why models may use it, and who decided that")
    return found


def _check_agreement(file: Document, catalogue: Catalogue, purposes: Purposes) -> None:
    """Every action's purpose is configured."""
    for index, action in enumerate(catalogue.documents.actions):
        _check_named(file, f"actions[{index}].purpose", action.purpose, tuple(purposes.purposes))


def _allocation(file: Document, catalogue: Catalogue, purposes: Purposes) -> Allocation:
    known = Known(catalogue.placements, catalogue.actions, purposes.purposes)
    try:
        return Allocation(parse_plan({} if file.data is None else file.data, known), catalogue)
    except InvalidExperiments as error:
        raise file.invalid(error.path, error.message, _hint(error.message)) from error


def _optional(path: Path, read: Callable[[Document], Any], otherwise: Any) -> Any:
    return read(Document(path)) if path.exists() else otherwise


def load(directory: Path) -> Configuration:
    """Read and validate a configuration directory. Raises `InvalidConfiguration` naming file, line and what to try."""
    purposes = _purposes(Document(directory / PURPOSES))
    file = Document(directory / CATALOGUE)
    catalogue = _catalogue(file)
    _check_agreement(file, catalogue, purposes)
    identity = _optional(directory / IDENTITY, _identity, IdentityRules())
    sources = _optional(directory / SOURCES, lambda found: _sources(found, purposes), {})
    path = directory / EXPERIMENTS
    tried = _optional(path, lambda found: _allocation(found, catalogue, purposes), Allocation(Plan(), catalogue))
    signals = _optional(directory / SIGNALS, lambda found: _signals(found, purposes), SignalRules())
    protection = _optional(directory / MODELS, _protection, Protection())
    return Configuration(catalogue, purposes, identity, sources, tried, signals, protection)


def _stamp(directory: Path) -> tuple[tuple[int, int], ...]:
    return tuple(_file_stamp(directory / name) for name in FILES)


def _file_stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


class LiveConfiguration:
    """The running configuration. `problem` says why the newest edit was not taken; empty when it was.

    `keep` is told of every configuration before it is used, and may refuse it with an `OSError`.
    """

    def __init__(self, directory: Path, keep: Callable[[Configuration], None] | None = None) -> None:
        self._directory = directory
        self._keep = keep
        self._stamp = _stamp(directory)
        self.current = self._taken()
        self.problem = ""

    def _taken(self) -> Configuration:
        found = load(self._directory)
        if self._keep is not None:
            self._keep(found)
        return found

    def maybe_reload(self) -> bool:
        """Take an edit when there is one. True when `current` changed; a bad edit changes only `problem`."""
        stamp = _stamp(self._directory)
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            self.current = self._taken()
        except InvalidConfiguration as error:
            self.problem = str(error)
            return False
        except OSError as error:
            self.problem = f"the new configuration cannot be kept beside the earlier ones ({type(error).__name__})"
            self._stamp = ()
            return False
        self.problem = ""
        return True
