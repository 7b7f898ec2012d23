"""Types of columns that models take: plain numbers, strings, and arrays of them.

Whatever a type is called: `x * 1.` must be a Float64 and refuse what is no number, in training as
in SQL. macros/names.sql says the same within dbt.
"""

from __future__ import annotations

import re

from treehouse.project.errors import TreehouseError

_NUMBER = r"(U?Int(8|16|32|64)|B?Float(16|32|64)|Decimal\d*\([\d, ]+\)|Bool)"
_TEXT = r"(String|FixedString\(\d+\))"
_FEATURES = {
    "numeric": rf"(LowCardinality\()?(Nullable\()?{_NUMBER}\)*",
    "categorical": rf"(LowCardinality\()?(Nullable\()?{_TEXT}\)*",
    "series": rf"Array\((LowCardinality\()?(Nullable\()?{_NUMBER}\)*",
    "tokens": rf"Array\((LowCardinality\()?(Nullable\()?{_TEXT}\)*",
}
_LABELS = {
    "number": r"(LowCardinality\()?(Nullable\()?(U?Int\d+|B?Float\d+|Decimal\d*\(.*\)|Bool)\)*",
    "class": r"(LowCardinality\()?(Nullable\()?(String|FixedString\(\d+\)|Enum(8|16)?\(.*\))\)*",
}
_CASTS = (
    (r"U?Int(128|256)", "toFloat64({0}), a Float64"),
    (r"Date|Time", "dateDiff('day', {0}, ...), an Int64, or another number that is known"),
    (r"Interval", "toInt64({0}), an Int64"),
    (r"Enum|UUID|IPv|Variant|Dynamic", "toString({0}), a String"),
)


def fits(type_name: str, kind: str) -> bool:
    """Whether a ClickHouse type can be a feature of a kind ("numeric", "categorical", "series",
    "tokens"), or a label that is a "number" or a "class"."""
    return re.fullmatch((_FEATURES | _LABELS)[kind], type_name) is not None


def check_type(name: str, type_name: str, kind: str, file: str) -> None:
    """Refuse a feature of a type that no model takes.

    Raises:
        TreehouseError: It names the column, the file, and what to cast it to.
    """
    if not fits(type_name, kind):
        raise TreehouseError(
            "A feature has a type that no model takes.",
            value=f"{name} {type_name}",
            expected="numbers of up to 64 bits, Decimal, Bool, String, FixedString, and arrays of "
            "them; Nullable and LowCardinality too",
            fix=f"make it {_cast(name, type_name)} in the model, and mend its data_type in {file}",
        )


def _cast(name: str, type_name: str) -> str:
    for pattern, cast in _CASTS:
        if re.match(rf"(Array\()?(LowCardinality\()?(Nullable\()?({pattern})", type_name):
            return cast.format(name)
    return "columns of its parts"
