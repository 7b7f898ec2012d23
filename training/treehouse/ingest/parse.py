"""The SQL that makes a value of a column's text, by the type of the contract."""

from __future__ import annotations

import re
from dataclasses import dataclass

from treehouse.clickhouse.client import identifier, literal
from treehouse.ingest.reading import Reading
from treehouse.ingest.sources import Column
from treehouse.project.errors import TreehouseError

# Dates and ISO 8601 times, of a day that has 24 hours. The engine's own parser also takes "10" for
# the tenth, "01/02/2024" for a day in February, 25:61 for the next day and +99:59 for an offset;
# but it does refuse 30 February.
_TIMESTAMP = (
    r"^(\d{4}-\d{2}-\d{2}|\d{4}/\d{2}/\d{2}|\d{8})"
    r"([T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d+)?)?"
    r" ?(Z|UTC|[+-]((0\d|1[0-3])(:?[0-5]\d)?|14(:?00)?))?)?$"
)
# Numbers since 1970 whose count of digits tells their unit, also as data frames write them: 13
# digits and ".0", or "1.7e+12".
_EPOCH = r"^((\d{9,10}|\d{13}|\d{16}|\d{19})(\.\d+)?|\d(\.\d+)?[eE]\+?\d{1,2})$"
_EPOCH_UNITS = {  # the powers of ten from which, and below which, a number is of the unit
    "seconds": (8, 10, "* 1000000"),
    "milliseconds": (12, 13, "* 1000"),
    "microseconds": (15, 16, ""),
    "nanoseconds": (18, 19, "/ 1000"),
}
# The engine's own parsers also take "1.234.567" for 1.234567, and "." or "e5" for 0.
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_WHOLE = r"^[+-]?\d+(\.0*)?$"  # a column with missing values often comes as 3.0
_TYPED = r"^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}(\.\d+)?Z$"  # a time that was one in the origin
_MARKS = {" ": "[ \u00a0\u202f]", "'": "['\u2019]"}  # as they are typed and as they are printed
_STRFTIME = {  # where MySQL's letters, which the engine takes, mean another thing
    "M": "%i", "B": "%M", "-d": "%e", "-m": "%c", "-H": "%k", "-I": "%l", "X": "%T",
}  # fmt: skip
_KINDS = {
    "text": r"String|FixedString",
    "whole": r"U?Int\d+",
    "number": r"Float\d+",
    "decimal": r"Decimal",
    "timestamp": r"DateTime",
    "date": r"Date",
    "truth": r"Bool",
    "map": r"Map",
}
_NOUNS = {
    "text": "text in UTF-8",
    "whole": "a whole number that fits {type}",
    "number": "a finite number",
    "decimal": "a number that fits {type}",
    "timestamp": "a time (ISO 8601, or s, ms, us or ns since 1970)",
    "date": "a date (YYYY-MM-DD)",
    "truth": "true or false",
    "map": "a JSON object of whole characters that names each key once",
}
_WIDE_DIGITS = 18  # after the point, while a number is read
_NOISE = 1e-9  # of a number; what binary floating point makes of 0.3 is far below
_JSON_DEPTH = 20  # objects within objects; what is deeper stays JSON


@dataclass(frozen=True)
class Note:
    """What is said of a column's values that were taken another way than they stand there.

    Attributes:
        condition: SQL, true for such a row.
        text: What was done.
    """

    condition: str
    text: str


def raw(column: Column) -> str:
    """Name of the column's text as it came."""
    return identifier(f"_raw_{column.name}")


def text(column: Column) -> str:
    """Name of the column's text without blanks around it."""
    return identifier(f"_text_{column.name}")


def kind(column: Column) -> str:
    """What the column holds, one of the words in `_KINDS`.

    Raises:
        TreehouseError: No origin can give its type.
    """
    inner = re.sub(r"^(LowCardinality|Nullable)\((.*)\)$", r"\2", column.type)
    for name, pattern in _KINDS.items():
        if re.match(pattern, inner):
            return name
    raise TreehouseError(
        "A contract has a type that load can't parse.",
        value=f"{column.name} {column.type}",
        expected="String, a number, Decimal, Date, DateTime, DateTime64, Bool or Map",
    )


def expectation(column: Column, reading: Reading) -> str:
    """What a column's text should be."""
    if reading.date_format and kind(column) in ("timestamp", "date"):
        return f"a time like {reading.date_format}"
    return _NOUNS[kind(column)].format(type=column.type)


def value_sql(column: Column, reading: Reading) -> str:
    """SQL of the value, NULL where the text can't be parsed."""
    shown, target = text(column), literal(column.type)
    plain = _number_text(column, reading)
    match kind(column):
        case "text":
            return shown
        case "whole":
            digits = f"replaceRegexpOne({plain}, '\\\\.0*$', '')"
            return _if_like(plain, _WHOLE, f"accurateCastOrNull({digits}, {target})")
        case "number":
            number = f"toFloat64OrNull({plain})"
            return _if_like(plain, _NUMBER, f"if(isFinite({number}), {number}, null)")
        case "decimal":
            digits = f"round(toDecimal128OrNull({plain}, {_WIDE_DIGITS}), {_scale(column)})"
            return _if_like(plain, _NUMBER, f"accurateCastOrNull({digits}, {target})")
        case "timestamp" | "date":
            return _time_sql(column, reading)
        case "map":
            return flat_json(shown)
    return f"accurateCastOrNull({shown}, {target})"


def parsed_sql(column: Column) -> str:
    """SQL of whether the text could be parsed."""
    shown = f"ifNull({text(column)}, '')"
    match kind(column):
        case "text":
            return f"isValidUTF8({shown})"
        case "map":
            keys = f"mapKeys({identifier(column.name)})"
            unique = f"length({keys}) = length(arrayDistinct({keys}))"
            return f"(JSONType({shown}) = 'Object' and {unique})"
    return f"isNotNull({identifier(column.name)})"


def notes(column: Column, reading: Reading) -> list[Note]:
    """What there is to say of a column's values."""
    found = []
    match kind(column):
        case "text":
            found = [Note(f"{raw(column)} != {text(column)}", "blanks around it removed")]
        case "timestamp" | "date" if not reading.date_format:
            shown, number = text(column), _epoch_number(column)
            found = [
                Note(
                    f"match({shown}, {literal(_EPOCH)}) and {number} >= 1e{low} "
                    f"and {number} < 1e{high}",
                    f"read as {unit} since 1970",
                )
                for unit, (low, high, _) in _EPOCH_UNITS.items()
            ]
        case "decimal":
            number = f"toFloat64OrNull({_number_text(column, reading)})"
            off = f"abs(toFloat64({identifier(column.name)}) - {number}) > {_NOISE} * abs({number})"
            found = [Note(off, f"rounded to {_scale(column)} digits after the point")]
    return [Note(note.condition, f"{column.name}: {note.text}") for note in found]


def _if_like(shown: str, pattern: str, value: str) -> str:
    return f"if(match({shown}, {literal(pattern)}), {value}, null)"


def _number_text(column: Column, reading: Reading) -> str:
    """SQL of a number's text with a point and no marks, NULL where the marks are misplaced."""
    shown, decimal = text(column), re.escape(reading.decimal)
    if (reading.decimal, reading.thousands) == (".", ""):
        return shown
    exponent = r"([eE][+-]?\d+)?$"
    patterns = [rf"^[+-]?(\d+{decimal}?\d*|{decimal}\d+){exponent}"]
    mark = _MARKS.get(reading.thousands, re.escape(reading.thousands))
    if mark:
        patterns.append(rf"^[+-]?\d{{1,3}}({mark}\d{{3}})+({decimal}\d*)?$")
        without = f"replaceRegexpAll({shown}, {literal(mark)}, '')"
    else:
        without = shown
    plain = f"replaceOne({without}, {literal(reading.decimal)}, '.')"
    return _if_like(shown, "|".join(patterns), plain)


def _time_sql(column: Column, reading: Reading) -> str:
    shown, zone = text(column), literal(reading.time_zone)
    iso = f"parseDateTime64BestEffortOrNull({shown}, 6, {zone})"
    if reading.date_format:
        theirs = date_format_sql(shown, reading)
        return f"if(match({shown}, {literal(_TYPED)}), {iso}, {theirs})"
    epoch = f"match({shown}, {literal(_EPOCH)})"
    return f"if({epoch}, {_epoch_sql(column)}, {_if_like(shown, _TIMESTAMP, iso)})"


def date_format_sql(shown: str, reading: Reading) -> str:
    """SQL of a time by the reading's format and zone."""
    joda, wanted = "InJodaSyntax", reading.date_format
    if "%" in wanted:
        joda, wanted = "", re.sub(r"%(-?.)", lambda f: _STRFTIME.get(f[1], f[0]), wanted)
    arguments = f"{shown}, {literal(wanted)}, {literal(reading.time_zone)}"
    return f"parseDateTime64{joda}OrNull({arguments})"


def _scale(column: Column) -> int:
    found = re.search(r"Decimal\d*\((?:\d+, *)?(\d+)\)", column.type)
    return int(found[1]) if found else 0


def _epoch_number(column: Column) -> str:
    return f"toDecimal128OrNull({text(column)}, 9)"


def _epoch_sql(column: Column) -> str:
    number = _epoch_number(column)
    branches = ", ".join(
        f"{number} >= 1e{low} and {number} < 1e{high}, toInt64({number} {factor})"
        for low, high, factor in _EPOCH_UNITS.values()
    )
    return f"fromUnixTimestamp64Micro(multiIf({branches}, null), 'UTC')"


def flat_json(shown: str) -> str:
    """SQL of a JSON object as a map: `{"a": {"b": 1}}` has the key `a.b`; a null is left out."""
    shown = f"ifNull({shown}, '')"
    braces = f"toInt64(countSubstrings({shown}, '{{'))"
    depth = f"toUInt64(least(greatest({braces} - 1, 0), {_JSON_DEPTH}))"
    inner = "arrayMap(q -> tuple(concat(p.1, '.', q.1), q.2), JSONExtractKeysAndValuesRaw(p.2))"
    is_object = "startsWith(p.2, '{') and p.2 != '{}'"
    step = f"arrayFlatten(arrayMap(p -> if({is_object}, {inner}, [p]), a))"
    pairs = f"arrayFold((a, i) -> {step}, range({depth}), JSONExtractKeysAndValuesRaw({shown}))"
    kept = f"arrayFilter(p -> p.2 != 'null', {pairs})"
    plain = "if(startsWith(p.2, '\"'), JSONExtractString(p.2), p.2)"
    return f"arrayMap(p -> tuple(p.1, {plain}), {kept})::Map(String, String)"
