"""Which of an origin's columns stand for those of a contract."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from treehouse.clickhouse.client import identifier
from treehouse.ingest.layout import Layout
from treehouse.ingest.reading import Choice, Sql
from treehouse.ingest.sources import CURRENCY, Column, Source
from treehouse.project.errors import TreehouseError

_CURRENCY = Column(CURRENCY, "String", aliases=("currency_code",))


def relation_sql(relation: str, layout: Layout) -> str:
    """An origin as a relation whose columns are text under their own names.

    Where some can't be read, `_unread` is their text.
    """
    columns = ", ".join(f"{sql} as {identifier(name)}" for name, sql in layout.texts.items())
    unread = f", {layout.broken} as _unread" if layout.broken else ""
    return f"(select {columns}{unread} from {relation} where {layout.where})"


def match_columns(
    contract: Source, layout: Layout, mapping: Mapping[str, Choice]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """SQL of each of the contract's columns that the origin has, and the origin's other columns.

    A column is found by the mapping, else by its name, else by its aliases. Where none is spelled
    so, upper and lower case are the same.

    Args:
        contract: Whose columns are looked for.
        layout: Of the origin.
        mapping: What stands for columns of the contract. Of several names those that the origin
            lacks do not count.

    Raises:
        TreehouseError: A required column is not there, the mapping names one that is not, or
            several differ in case alone.
    """
    theirs = list(layout.texts)
    sql, used = _mapped(contract, theirs, mapping)
    free = [name for name in theirs if name not in used]
    for column in contract.columns:
        if column.name not in mapping and (found := _find(column, free)):
            sql[column.name] = identifier(found)
            used.add(found)
    _add_currency(contract, sql, free, used)
    missing = [c for c in contract.columns if c.required and c.name not in sql]
    if missing:
        raise TreehouseError(
            f"The origin lacks columns of {contract.name}: {', '.join(c.name for c in missing)}.",
            value=", ".join(theirs),
            expected="; ".join(" or ".join((c.name, *c.aliases)) for c in missing),
            fix=f"name what stands for it: --map <their column>={missing[0].name}",
        )
    return sql, tuple(name for name in theirs if not _is_used(name, used))


def absent(choice: Choice, theirs: Collection[str]) -> list[str]:
    """Columns that an expression names in backticks and that the origin lacks: they are null."""
    if not isinstance(choice, Sql):
        return []
    return [name for name in re.findall(r"`([^`]+)`", choice.expression) if name not in theirs]


def _without(names: Collection[str], expression: str) -> str:
    """The expression with nulls in place of columns."""
    for name in names:
        expression = expression.replace(f"`{name}`", "cast(null, 'Nullable(String)')")
    return expression


def _mapped(
    contract: Source, theirs: Sequence[str], mapping: Mapping[str, Choice]
) -> tuple[dict[str, str], set[str]]:
    """SQL of the columns that a mapping names, and those of the origin that it takes."""
    ours = {column.name for column in contract.columns} | ({CURRENCY} if contract.money else set())
    sql: dict[str, str] = {}
    used: set[str] = set()
    for name, choice in mapping.items():
        if name not in ours or (isinstance(choice, str) and choice not in theirs):
            raise TreehouseError(
                "A mapping names a column that is not there.",
                value=f"{choice}={name}",
                expected=f"one of {', '.join(theirs)} = one of {', '.join(sorted(ours))}",
            )
        if isinstance(choice, Sql):
            sql[name] = f"toString({_without(absent(choice, theirs), choice.expression)})"
            used |= {their for their in theirs if their in choice.expression}
            continue
        names = [n for n in ([choice] if isinstance(choice, str) else choice) if n in theirs]
        if names:
            sql[name] = _first_sql(names)
        used.update(names)
    return sql, used


def _add_currency(
    contract: Source, sql: dict[str, str], free: Sequence[str], used: set[str]
) -> None:
    """Take a column of currencies, unless a mapping did or the amounts' name says US dollars."""
    amounts = sql.get(contract.money, "usd")
    found = None if CURRENCY in sql or "usd" in amounts.lower() else _find(_CURRENCY, free)
    if found:
        sql[CURRENCY] = identifier(found)
        used.add(found)


def _is_used(name: str, used: Collection[str]) -> bool:
    """Whether a column is used: itself, all of its parts, or what it is a part of."""
    return any(name == u or name.startswith(u + ".") or u.startswith(name + ".") for u in used)


def _first_sql(names: Sequence[str]) -> str:
    """SQL of the first of these columns that has a value."""
    if len(names) == 1:
        return identifier(names[0])
    values = (f"nullIf(trimBoth({identifier(name)}), '')" for name in names)
    return f"coalesce({', '.join(values)})"


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
