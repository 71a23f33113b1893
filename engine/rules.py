"""Rules as expressions (CEL) over what may be seen of a person and what a request says. Knows how they are compiled and
asked, one by one or together; nothing of what follows from an answer."""

from collections.abc import Mapping, Sequence
from typing import Any

from cel_expr_python import cel

FACTS = ("traits", "signals", "context")
_ENVIRONMENT = cel.NewEnv(variables={name: cel.Type.Map(cel.Type.STRING, cel.Type.DYN) for name in FACTS})
# so that one rule that cannot be evaluated makes few others be asked by themselves
TOGETHER = 25


class Facts:
    """The values rules may look at; building it once lets every rule of a decision share the conversion."""

    def __init__(self, traits: Mapping[str, Any], signals: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        self.activation = _ENVIRONMENT.Activation({"traits": traits, "signals": signals, "context": context})


class Rule:
    """A compiled CEL expression. Whatever cannot be evaluated (a masked or missing value) is not true."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._compiled = None if source.strip() == "true" else _compile(source)

    def names(self, part: str) -> bool:
        """Whether the expression may look at this part of the facts."""
        return part in self.source

    def holds(self, facts: Facts) -> bool:
        if self._compiled is None:
            return True
        return self._compiled.eval(facts.activation).value() is True

    def number(self, facts: Facts) -> float | None:
        value = 1.0 if self._compiled is None else self._compiled.eval(facts.activation).value()
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def text(self, facts: Facts) -> str | None:
        if self._compiled is None:
            return None
        result = self._compiled.eval(facts.activation)
        # an evaluation error also has text (its message); only its type tells it from a value
        return str(result.value()) if result.type() == cel.Type.STRING else None


class RuleList:
    """Rules asked together: one evaluation of a list of them costs a third of one for each. Where one of a list cannot
    be evaluated each is asked by itself, because it must not decide about the others."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        parts = [rules[start : start + TOGETHER] for start in range(0, len(rules), TOGETHER)]
        self._parts = [(part, _listed(part)) for part in parts]

    def hold(self, facts: Facts) -> list[bool]:
        """Which of them hold, in order."""
        found: list[bool] = []
        for rules, listed in self._parts:
            result = None if listed is None else listed.eval(facts.activation)
            if result is None or result.type() == cel.Type.ERROR:
                found += [rule.holds(facts) for rule in rules]
            else:
                found += [one.value() is True for one in result.value()]
        return found


def _listed(rules: Sequence[Rule]) -> Any:
    """The rules as one expression, or nothing where they nest too deeply for one."""
    # a comment ends with its line, and must not take the bracket along
    sources = (f"({rule.source}\n)" for rule in rules)
    try:
        return _compile(f"[{', '.join(sources)}]")
    except ValueError:
        return None


def _compile(source: str) -> Any:
    try:
        return _ENVIRONMENT.compile(source)
    except RuntimeError as error:
        raise ValueError(" ".join(str(error).split())) from error
