"""How an export is read where it does not say so itself: options, and the file that holds them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml

from treehouse.project.errors import TreehouseError
from treehouse.project.settings import read_yaml

_DELIMITERS = {"tab": "\t", "\\t": "\t", "semicolon": ";", "comma": ",", "pipe": "|"}
PRESETS = Path(__file__).with_name("presets")
REFUNDS = ("net", "drop", "quarantine")
_THOUSANDS = ("", ",", ".", " ", "'", "_")


@dataclass(frozen=True)
class Sql:
    """A column that is computed from the origin's, all of which are text.

    Attributes:
        expression: ClickHouse SQL over the origin's own names.
    """

    expression: str


Choice = str | tuple[str, ...] | Sql
"""One of the origin's columns, the first of several that has a value in the row, or SQL."""


@dataclass(frozen=True)
class Reading:
    """How to read an export.

    Attributes:
        format: One of `origin.FORMATS`; "" goes by the name of the file.
        delimiter: Between the columns of CSV; "" finds it in the first line.
        decimal: Between the whole and the rest of a number, a point or a comma.
        thousands: Between groups of three digits; "" is none.
        date_format: Of times, as strftime's (%d.%m.%Y %H:%M) or Joda's (dd.MM.yyyy HH:mm); "" is
            ISO 8601 or a number since 1970.
        time_zone: Of times that do not say theirs.
        refunds: What becomes of refunds, one of REFUNDS; "" is what the contract says.
        rates: CSV file of currencies, see rates.py; "" knows US dollars alone.
        columns: For columns of the contract, and `currency`, what stands for them, where names
            and aliases do not.
    """

    format: str = ""
    delimiter: str = ""
    decimal: str = "."
    thousands: str = ""
    date_format: str = ""
    time_zone: str = "UTC"
    refunds: str = ""
    rates: str = ""
    columns: Mapping[str, Choice] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "delimiter", _DELIMITERS.get(self.delimiter, self.delimiter))
        _check("delimiter", self.delimiter, len(self.delimiter) < 2, "one character, or tab")
        _check("decimal", self.decimal, self.decimal in (".", ","), ". or ,")
        _check(
            "policy of refunds", self.refunds, self.refunds in ("", *REFUNDS), ", ".join(REFUNDS)
        )
        twice = _told_twice(self.date_format)
        expected = "each part once: MM is the month and mm the minute, as %m and %M"
        _check("date format", self.date_format, not twice, expected)
        known = self.thousands in _THOUSANDS and self.thousands != self.decimal
        _check("thousands", self.thousands, known, "one of , . _ ' or a blank, not the decimal's")

    def with_options(self, columns: Mapping[str, Choice], **options: str | None) -> Reading:
        """The same with those options that are given."""
        given = {name: value for name, value in options.items() if value is not None}
        return replace(self, columns={**self.columns, **columns}, **given)

    def as_yaml(self, comment: str = "") -> str:
        """The file that `read_mapping` reads, with all that differs from the defaults."""
        values: dict[str, Any] = {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if f.name != "columns" and getattr(self, f.name) != f.default
        }
        if self.columns:
            values["columns"] = {name: _plain(choice) for name, choice in self.columns.items()}
        lines = "".join(f"# {line}\n" for line in comment.splitlines())
        return lines + yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=1000)


def read_mapping(path: Path) -> Reading:
    """The reading that a file of YAML holds.

    Raises:
        TreehouseError: There is no such file, it is not YAML, or holds what is not known.
    """
    if not path.is_file():
        raise TreehouseError(
            "There is no such mapping.",
            value=path,
            expected="a file of YAML, as ./treehouse load events FILE --print writes it",
        )
    found = read_yaml(path)
    if not isinstance(found, dict):
        raise _misfit(path, found, "names and values, such as `columns: {user_id: player}`")
    return parse_mapping(found, path)


def presets() -> list[str]:
    """Names of the sources whose exports are known."""
    return sorted(path.stem for path in PRESETS.glob("*.yml"))


def read_preset(name: str, source: str) -> Reading:
    """The reading of a known source's export.

    Args:
        name: One of `presets`.
        source: What is loaded of it.

    Raises:
        TreehouseError: There is no such preset, or its export has no such rows.
    """
    _check("preset", name, name in presets(), ", ".join(presets()))
    path = PRESETS / f"{name}.yml"
    found = read_yaml(path)
    if source not in found:
        raise TreehouseError(
            f"An export of {name} has no {source}.",
            value=source,
            expected=" or ".join(found),
            fix=f"say how yours has them: ./treehouse load {source} --print > mapping.yml",
        )
    return parse_mapping(found[source], path)


def parse_mapping(found: Mapping[str, Any], origin: object) -> Reading:
    """The reading that plain values say.

    Raises:
        TreehouseError: One is not known, or of the wrong kind.
    """
    names = [f.name for f in fields(Reading)]
    for name, value in found.items():
        if name not in names:
            raise _misfit(origin, name, "one of " + ", ".join(names))
        if name != "columns" and not isinstance(value, str):
            raise _misfit(origin, f"{name}: {value}", f"text; write {name}: '{value}'")
    columns = found.get("columns") or {}
    if not isinstance(columns, dict):
        raise _misfit(origin, columns, "columns of the contract, each with what stands for it")
    choices = {str(name): _choice(origin, name, choice) for name, choice in columns.items()}
    return Reading(**{**found, "columns": choices})


def _choice(origin: object, name: object, choice: Any) -> Choice:
    if isinstance(choice, str):
        return choice
    if isinstance(choice, list) and choice and all(isinstance(c, str) for c in choice):
        return tuple(choice)
    if isinstance(choice, dict) and choice.keys() == {"sql"} and isinstance(choice["sql"], str):
        return Sql(choice["sql"])
    raise _misfit(
        origin,
        f"{name}: {choice}",
        "the name of a column, a list of names of which the first with a value counts, or "
        "{sql: an expression over the columns}",
    )


def _plain(choice: Choice) -> Any:
    match choice:
        case Sql(expression):
            return {"sql": expression}
        case tuple():
            return list(choice)
    return choice


def _told_twice(date_format: str) -> bool:
    """Whether a part of a time stands in it twice, of which the engine takes the last."""
    if "%" in date_format:
        parts = re.findall(r"%-?([a-zA-Z])", date_format)
    else:
        bare = re.sub(r"'[^']*'", "", date_format)
        parts = [letter for letter, _ in re.findall(r"([a-zA-Z])(\1*)", bare)]
    return len(parts) > len(set(parts))


def _check(name: str, value: str, holds: bool, expected: str) -> None:
    if not holds:
        raise TreehouseError(f"Unknown {name}.", value=repr(value), expected=expected)


def _misfit(origin: object, value: object, expected: str) -> TreehouseError:
    return TreehouseError(
        f"A mapping could not be understood: {origin}", value=value, expected=expected
    )
