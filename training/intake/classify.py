"""The SQL that parses rows of text by a contract, and says what is wrong with the others."""

from __future__ import annotations

import re
from collections.abc import Mapping

from training.engine import identifier, literal
from training.errors import TreehouseError
from training.intake.sources import Column, Source

# Dates and ISO 8601 times, of a day that has 24 hours; seconds since 1970 (9 or 10 digits) and
# milliseconds (13). The engine's own parser also takes "10" for the tenth, "01/02/2024" for a day
# in February, and 25:61 for the next day; but it does refuse 30 February.
_TIMESTAMP = (
    r"^((\d{4}-\d{2}-\d{2}|\d{4}/\d{2}/\d{2}|\d{8})"
    r"([T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d+)?)? ?(Z|UTC|[+-]\d{2}(:?\d{2})?)?)?"
    r"|\d{9,10}(\.\d+)?|\d{13})$"
)
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
    "timestamp": "a time (ISO 8601, or seconds or milliseconds since 1970)",
    "date": "a date (YYYY-MM-DD)",
    "truth": "true or false",
    "map": "a JSON object",
}


def staged_ddl(source: Source, staged: str) -> str:
    """The table that holds a load's parsed rows, sorted so that equal ids are neighbours."""
    columns = "".join(f"{identifier(c.name)} {c.type}, " for c in source.columns)
    return (
        f"create table {staged} ({columns}"
        "_bad UInt8, _reason String, _row Map(String, String), _key UInt128, _content UInt64) "
        f"engine = MergeTree order by (_bad, _key, {identifier(source.time)}, _content)"
    )


def classify_sql(
    source: Source, staged: str, relation: str, texts: Mapping[str, str], where: str = "1"
) -> str:
    """The statement that parses a relation's rows into `staged`.

    Args:
        source: The contract.
        staged: A table made by `staged_ddl`.
        relation: What to read, as SQL.
        texts: SQL of a column's value as Nullable(String), for each column that the origin has.
        where: Condition on the rows read.

    Rows get `_bad` and `_reason`; `_key`, equal for rows that are the same by id, or by content
    where they have none; and `_content`, to break ties the same way whatever the order of arrival.
    """
    columns = source.columns
    rules = [rule for column in columns for rule in _rules(column)]
    reasons = ", ".join(f"if({broken}, {text}, '')" for broken, text in rules)
    content = ", ".join(f"_good_{i}" for i, c in enumerate(columns) if c.name != source.id)
    row = ", ".join(
        f"{literal(c.name)}, ifNull({_text(c)}, '')" for c in columns if c.name in texts
    )
    id_text = f"ifNull({_text(source.column(source.id))}, '')"
    lines = [
        f"insert into {staged}",
        "with texts as (",
        "    select "
        + ", ".join(
            f"{texts.get(c.name, 'null')}::Nullable(String) as {_text(c)}" for c in columns
        ),
        f"    from {relation} where {where}",
        "), parsed as (",
        "    select *, " + ", ".join(f"{_parse(c)} as {identifier(c.name)}" for c in columns),
        "    from texts",
        "), judged as (",
        "    select *, " + " or ".join(broken for broken, _ in rules) + " as _bad, ",
        "    " + ", ".join(f"{_good(c)} as _good_{i}" for i, c in enumerate(columns)),
        "    from parsed",
        "), explained as (",
        "    select *, ",
        f"    if(_bad, arrayStringConcat(arrayFilter(r -> r != '', [{reasons}]), '; '), '')"
        " as _reason,",
        f"    if(_bad, map({row}), map()) as _row",
        "    from judged",
        ")",
        "select "
        + ", ".join(f"_good_{i}" for i, _ in enumerate(columns))
        + ", _bad, _reason, _row,",
        "    reinterpretAsUInt128(sipHash128Reference(multiIf(_bad, toString(_row), "
        f"{id_text} != '', {id_text}, toString(tuple({content}))))) as _key,",
        f"    sipHash64(tuple({content})) as _content",
        "from explained",
    ]
    return "\n".join(lines)


def _text(column: Column) -> str:
    return identifier(f"_text_{column.name}")


def _kind(column: Column) -> str:
    inner = re.sub(r"^(LowCardinality|Nullable)\((.*)\)$", r"\2", column.type)
    for kind, pattern in _KINDS.items():
        if re.match(pattern, inner):
            return kind
    raise TreehouseError(
        "A contract has a type that load can't parse.",
        value=f"{column.name} {column.type}",
        expected="String, a number, Decimal, Date, DateTime, DateTime64, Bool or Map",
    )


def _parse(column: Column) -> str:
    """SQL of the value, NULL where the text can't be parsed."""
    kind, text = _kind(column), f"trimBoth({_text(column)})"
    target = literal(column.type)
    if kind == "text":
        return _text(column)
    if kind == "whole":  # a column with missing values often comes as 3.0
        return f"accurateCastOrNull(replaceRegexpOne({text}, '\\\\.0+$', ''), {target})"
    if kind == "number":
        return f"if(isFinite(toFloat64OrNull({text})), toFloat64OrNull({text}), null)"
    if kind in ("timestamp", "date"):
        digits = re.search(r"DateTime64\((\d)", column.type)
        shape = f"match({text}, {literal(_TIMESTAMP)})"
        return (
            f"if({shape}, parseDateTime64BestEffortOrNull({text}, {digits[1] if digits else 0}, "
            "'UTC'), null)"
        )
    if kind == "map":
        return f"JSONExtract(ifNull({_text(column)}, ''), 'Map(String, String)')"
    return f"accurateCastOrNull({text}, {target})"


def _rules(column: Column) -> list[tuple[str, str]]:
    """For each rule of a column: SQL of whether a row breaks it, and of the reason."""
    name, text = identifier(column.name), _text(column)
    missing = f"(trimBoth(ifNull({text}, '')) = '')"
    parsed = {
        "text": f"isValidUTF8(ifNull({text}, ''))",
        "map": f"JSONType(ifNull({text}, '')) = 'Object'",
    }.get(_kind(column), f"isNotNull({name})")
    shown = f"toValidUTF8(substring(ifNull({text}, ''), 1, 200))"

    def told(rule: str) -> str:
        return f"concat({literal(column.name + ' ')}, '\\'', {shown}, '\\' ', {literal(rule)})"

    rules = [
        (
            f"(not {missing} and not {parsed})",
            told("is not " + _NOUNS[_kind(column)].format(type=column.type)),
        )
    ]
    if column.required:
        rules.insert(0, (missing, literal(f"{column.name} is missing")))
    if column.check:
        broken = f"(not {missing} and {parsed} and not ifNull({column.check}, 1))"
        rules.append((broken, told(f"breaks the rule: {column.check}")))
    return rules


def _good(column: Column) -> str:
    """SQL of the value to store: the type's default where there is none."""
    if _kind(column) == "map":
        return f"cast({identifier(column.name)}, {literal(column.type)})"
    default = f"defaultValueOfTypeName({literal(column.type)})"
    return f"cast(ifNull({identifier(column.name)}, {default}), {literal(column.type)})"
