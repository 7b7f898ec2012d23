"""Names that people give in YAML: which ones work everywhere, and what to type for the others.

Columns and heads become arguments and fields of SQL functions, keys of a registry, and words of
dbt's DDL. macros/names.sql says the same within dbt, before it builds anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any

from treehouse.project.errors import TreehouseError

OWN = "treehouse_"
"""What the generated SQL's own names begin with."""
_UNQUOTABLE = re.compile(r'["`\\\x00-\x1f\x7f]|\{[{%#]')
_USABLE = (
    "text without double quotes, backticks, backslashes, control characters and Jinja, "
    f"that does not begin with {OWN}"
)


def check_names(names: Iterable[Any], what: str, file: str, taken: Iterable[str] = ()) -> None:
    """Refuse names that would break the SQL made of them, each with its file.

    Args:
        names: As YAML read them.
        what: What they are names of, for the message: "column of ltv_features".
        file: Where they stand.
        taken: Names that something else has there.

    Raises:
        TreehouseError: One is no text, can't be quoted by every tool that writes it, or is there
            twice.
    """
    seen = set(taken)
    for name in names:
        check_text(name, what, file)
        if not name or _UNQUOTABLE.search(name) or name.startswith(OWN):
            raise TreehouseError(
                f"A {what} has a name that can't be used.",
                value=repr(name),
                expected=_USABLE,
                fix=f"rename it in {file}",
            )
        if name in seen:
            raise TreehouseError(
                f"A {what} has a name that is taken.",
                value=name,
                expected="a name of its own",
                fix=f"rename it in {file}",
            )
        seen.add(name)


def check_text(name: Any, what: str, file: str) -> None:
    """Refuse a name that YAML read as something else: no, on, 1 and null are not text.

    Raises:
        TreehouseError: It says how to write it.
    """
    if not isinstance(name, str):
        raise TreehouseError(
            f"A {what} has a name that YAML does not read as text.",
            value=f"{name!r} ({type(name).__name__})",
            expected="text: no, yes, on, off, null, numbers and dates only in quotes",
            fix=f"write it in quotes in {file}, for example {_quoted(name)}",
        )


def check_words(value: Any, where: str, file: str) -> None:
    """Refuse what YAML read as something else where a name is meant, anywhere below a value: keys
    of mappings, `name`, and lists that are neither all names nor all numbers.

    Raises:
        TreehouseError: It names the place.
    """
    for name, place in _names(value, where):
        check_text(name, f"part of {place}", file)


def _names(value: Any, where: str) -> Iterator[tuple[Any, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key, where
            if key == "name":
                yield inner, f"{where}.name"
            yield from _names(inner, f"{where}.{key}")
    elif isinstance(value, list):
        has_text = any(isinstance(inner, str) for inner in value)
        for inner in value:
            is_odd = inner is None or isinstance(inner, bool | date)
            if is_odd or (has_text and not isinstance(inner, str | dict | list)):
                yield inner, where
            yield from _names(inner, where)


def _quoted(name: Any) -> str:
    if isinstance(name, bool):
        return '"yes"' if name else '"no"'
    return '"null"' if name is None else f'"{name}"'
