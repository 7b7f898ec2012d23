"""A definition from what was written on the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from treehouse.experiments.definition import Definition, check
from treehouse.project.errors import TreehouseError

Value = TypeVar("Value", int, float)


def definition_of(
    values: dict[str, Any], variants: Sequence[str] = (), versions: Sequence[str] = ()
) -> Definition:
    """The checked definition of these fields.

    Args:
        values: Fields by name.
        variants: Each `name=weight`, the control first.
        versions: Each `variant=version`; variants that are not named get the champion.

    Raises:
        TreehouseError: An option can't be read, or the definition makes no sense.
    """
    if variants:
        weights = _pairs(variants, float, "control=0.5")
        values = values | {"variants": tuple(weights), "weights": tuple(weights.values())}
    try:
        definition = Definition(**values)
        if versions:
            definition = replace(definition, versions=_versions(definition, versions))
        return check(definition)
    except TypeError as error:  # a text where the file should have a number or a list
        raise TreehouseError(
            "The definition has a value of the wrong type.", value=str(error)
        ) from error


def _versions(definition: Definition, options: Sequence[str]) -> tuple[int, ...]:
    by_variant = _pairs(options, int, "treatment=4")
    if unknown := {*by_variant} - {*definition.variants}:
        raise TreehouseError(
            "There is no such variant.",
            value=", ".join(sorted(unknown)),
            expected="one of: " + ", ".join(definition.variants),
        )
    return tuple(by_variant.get(name, 0) for name in definition.variants)


def _pairs(options: Sequence[str], read: Callable[[str], Value], sample: str) -> dict[str, Value]:
    pairs: dict[str, Value] = {}
    for option in options:
        name, _, value = option.partition("=")
        try:
            pairs[name] = read(value)
        except ValueError:
            raise TreehouseError(
                "An option could not be read.", value=option, expected=f"for example {sample}"
            ) from None
    if len(pairs) < len(options):
        raise TreehouseError("A variant is named twice.", value=", ".join(options))
    return pairs
