"""A YAML file as plain data that remembers which line each value came from. Knows nothing of what the data means."""

import re
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import yaml

_STEP = re.compile(r"\[(\d+)\]|\[([^\]]+)\]|([^.\[\]]+)")
_BOOLEAN = re.compile(r"^(?:true|false)$")


class _Loader(yaml.SafeLoader):
    """Only true and false are booleans (`NO` is Norway) and a date stays text."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - inherited
        # YAML lets the last of two equal keys win without a word
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} is there twice", key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


_UNWANTED = ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _UNWANTED]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_UNWANTED[0], _BOOLEAN, ["t", "f"])


class InvalidConfiguration(Exception):
    """A file that cannot be used: which, the line (from 1), what is wrong and what to try."""

    def __init__(self, file: str, line: int, problem: str, hint: str = "") -> None:
        super().__init__(f"{file}:{line}: {problem}" + (f" ({hint})" if hint else ""))
        self.file, self.line, self.problem, self.hint = file, line, problem, hint


class Document:
    """One parsed file. `data` is None where the file is empty."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        loader = _Loader(_read(path))
        try:
            self._root: yaml.Node | None = loader.get_single_node()
            self.data: Any = None if self._root is None else loader.construct_document(self._root)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = 1 if mark is None else mark.line + 1
            hint = "check indentation, colons and quotes on this line and the one before"
            raise InvalidConfiguration(path.name, line, str(error.problem or error.context), hint) from error
        except yaml.YAMLError as error:
            raise InvalidConfiguration(path.name, 1, "not readable as YAML", "save it as UTF-8 text") from error
        finally:
            loader.dispose()

    def line_of(self, place: str) -> int:
        """The line (from 1) of `actions[3].when`, or of the nearest thing around it that exists."""
        node, line = self._root, 1
        for step in _steps(place):
            found = _below(node, step)
            if found is None:
                break
            node, line = found
        return line

    def invalid(self, place: str, problem: str, hint: str = "") -> InvalidConfiguration:
        where = f"{place}: " if place else ""
        return InvalidConfiguration(self.name, self.line_of(place), f"{where}{problem}", hint)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        hint = "RAPPORT_CONFIG_DIR must name a directory with catalogue.yaml and purposes.yaml"
        raise InvalidConfiguration(path.name, 1, "the file is missing", hint) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidConfiguration(path.name, 1, "the file cannot be read", "save it as readable UTF-8 text") from error


def _steps(place: str) -> Iterator[str | int]:
    for match in _STEP.finditer(place):
        index, key, name = match.groups()
        yield int(index) if index is not None else key or name


def _below(node: yaml.Node | None, step: str | int) -> tuple[yaml.Node, int] | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        item = node.value[step]
        return item, item.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return value, key.start_mark.line + 1
    return None
