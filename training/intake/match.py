"""Which of an origin's columns stand for those of a contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from training.engine import identifier
from training.errors import TreehouseError
from training.intake.layout import Layout
from training.intake.sources import Column, Source


def relation_sql(relation: str, layout: Layout) -> str:
    """An origin as a relation whose columns are text under their own names."""
    columns = ", ".join(f"{sql} as {identifier(name)}" for name, sql in layout.texts.items())
    return f"(select {columns} from {relation} where {layout.where})"


def match_columns(
    contract: Source, layout: Layout, mapping: Mapping[str, str]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """SQL of each of the contract's columns that the origin has, and the origin's other columns.

    A column is found by the mapping, else by its name, else by its aliases. Where none is spelled
    so, upper and lower case are the same.

    Args:
        contract: Whose columns are looked for.
        layout: Of the origin.
        mapping: Names of the origin by the contract's.

    Raises:
        TreehouseError: A required column is not there, the mapping names one that is not, or
            several differ in case alone.
    """
    theirs = list(layout.texts)
    ours = [column.name for column in contract.columns]
    for name, mapped in mapping.items():
        if name not in ours or mapped not in theirs:
            raise TreehouseError(
                "A mapping names a column that is not there.",
                value=f"{mapped}={name}",
                expected=f"one of {', '.join(theirs)} = one of {', '.join(sorted(ours))}",
            )
    free = [name for name in theirs if name not in mapping.values()]
    chosen = dict(mapping)
    for column in contract.columns:
        found = chosen.get(column.name) or _find(column, free)
        if found:
            chosen[column.name] = found
    missing = [c for c in contract.columns if c.required and c.name not in chosen]
    if missing:
        raise TreehouseError(
            f"The origin lacks columns of {contract.name}: {', '.join(c.name for c in missing)}.",
            value=", ".join(theirs),
            expected="; ".join(" or ".join((c.name, *c.aliases)) for c in missing),
            fix=f"name what stands for it: --map <their column>={missing[0].name}",
        )
    ignored = tuple(name for name in theirs if name not in chosen.values())
    return {name: identifier(found) for name, found in chosen.items()}, ignored


def _find(column: Column, theirs: Sequence[str]) -> str | None:
    for name in (column.name, *column.aliases):
        if name in theirs:
            return name
        same = [their for their in theirs if their.lower() == name]
        if len(same) > 1:
            raise TreehouseError(
                f"Several columns could be {column.name}: they differ in upper and lower case.",
                value=", ".join(same),
                expected=f"one column called {name} in any case, or one spelled just so",
                fix=f"say which: --map {same[0]}={column.name}",
            )
        if same:
            return same[0]
    return None
