"""Attributes that no model may use unless the installation allows it and says why, and which columns hold them. Knows
nothing of models; what cannot be a column needs no protection."""

from collections.abc import Iterable, Mapping

import msgspec

from features.spec import FEATURES, Feature

_TRAITS = frozenset({"trait", "number_trait"})


def attribute_of(feature: Feature) -> str:
    """What a column is called as an attribute of a person: the trait's name, else the column's."""
    return feature.argument if feature.source in _TRAITS else feature.name


ATTRIBUTES: tuple[str, ...] = tuple(attribute_of(feature) for feature in FEATURES)


class Protection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`protected` are attributes besides those that the table of features marks; `allowed` maps an attribute that
    models may use all the same to the reason."""

    protected: tuple[str, ...] = ()
    allowed: dict[str, str] = {}

    def forbids(self, feature: Feature) -> bool:
        name = attribute_of(feature)
        return (feature.protected or name in self.protected) and name not in self.allowed

    def columns(self, features: Iterable[Feature] = FEATURES) -> Mapping[str, str]:
        """Every column that no model may use here, with the attribute it holds."""
        return {feature.name: attribute_of(feature) for feature in features if self.forbids(feature)}


def used_against(protection: Protection, columns: Iterable[str]) -> dict[str, str]:
    """Those of the used columns that are not allowed, with the attribute each holds."""
    forbidden = protection.columns()
    return {name: forbidden[name] for name in columns if name in forbidden}
