"""The SQL functions of a use case, written out in full: ready to paste, with types and units."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sqlglot.dialects.clickhouse import ClickHouse

from treehouse.clickhouse.client import identifier

if TYPE_CHECKING:
    from treehouse.project.contract import Contract

NAMED = "settings enable_named_columns_in_function_tuple = 1"
"""What gives the elements of `tuple(a, b)` their names; a view keeps it."""


def functions(contract: Contract) -> list[dict[str, str]]:
    """Each function: its name, what it takes and what it answers."""
    name, heads = contract.use_case, ", ".join([*contract.heads, "version"])
    first = f"{contract.heads[0]}, a Nullable(Float64)"
    found = [
        (f"predict_{name}", "the features in order", first),
        (f"predict_{name}_full", "the same", f"a tuple of {heads}"),
        (f"predict_{name}_row", "a named tuple of the features", first),
        (f"predict_{name}_row_full", "the same", f"a tuple of {heads}"),
    ]
    found += [(f"{n}_at", f"a version, then {t}", what) for n, t, what in list(found)]
    if "next_1" not in contract.heads:  # no tree, so no contributions
        parts = "what each feature contributed to the margin"
        found += [
            (f"explain_{name}", "the features in order", parts),
            (f"explain_{name}_row", "a named tuple of the features", parts),
            (
                f"explain_{name}_top",
                "a number, then the features in order",
                "the strongest ones",
            ),
        ]
    return [{"function": n, "takes": t, "answers": what} for n, t, what in found]


def relation(database: str, name: str) -> str:
    """A table or view of a database, for SQL."""
    return f"{_readable(database)}.{_readable(name)}"


def call_by_order(contract: Contract, table: str) -> str:
    """A query that names every feature, each with its type and what it is."""
    calls = list(_arguments(contract))
    keys = "".join(f"    {_readable(key)},\n" for key in contract.keys)
    return (
        f"select\n{keys}    {_readable('predict_' + contract.use_case)}(\n"
        + "\n".join(calls)
        + f"\n    ) as {_readable(contract.heads[0])}\nfrom {table}"
    )


def call_by_name(contract: Contract, table: str, others: list[str], view: str) -> str:
    """A view that binds the features by name.

    Args:
        contract: Of the use case.
        table: With the features' columns, quoted.
        others: Its columns that are no feature.
        view: Name of the view, quoted.
    """
    left_out = f" except ({', '.join(map(_readable, others))})" if others else ""
    keys = "".join(f"{_readable(key)}, " for key in contract.keys)
    function = _readable(f"predict_{contract.use_case}_row")
    return (
        f"create view {view} as\n"
        f"select {keys}{function}(tuple(*{left_out})) as {_readable(contract.heads[0])}\n"
        f"from {table}\n{NAMED}"
    )


def written_out(contract: Contract, database: str, others: list[str]) -> dict[str, Any]:
    """All of it for a use case: what it takes and answers, its functions and both calls."""
    table = relation(database, contract.use_case + "_features")
    view = relation(database, "my_" + contract.use_case)
    return {
        "features": [f.__dict__ | {"kind": f.kind} for f in contract.features],
        "heads": list(contract.heads),
        "functions": functions(contract),
        "by_order": call_by_order(contract, table),
        "by_name": call_by_name(contract, table, others, view),
    }


def _arguments(contract: Contract) -> Iterator[str]:
    """A line for each argument; the comments stand in one column."""
    names = [_readable(f.name) for f in contract.features]
    width = max(map(len, names)) + 1
    for i, (name, feature) in enumerate(zip(names, contract.features, strict=True)):
        comma = "," if i + 1 < len(names) else ""
        about = f": {feature.about}" if feature.about else ""
        yield f"        {name + comma:<{width}} -- {feature.type}{about}"


def _readable(name: str) -> str:
    """A name for SQL, quoted where it has to be."""
    is_plain = re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII)
    is_word = name.upper() in ClickHouse.tokenizer_class.KEYWORDS
    return name if is_plain and not is_word else identifier(name)
