"""The SQL that judges rows of text by a contract: which are good, and what is wrong with others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from treehouse.clickhouse.client import identifier, literal
from treehouse.ingest.parse import Note, expectation, kind, notes, parsed_sql, raw, text, value_sql
from treehouse.ingest.rates import is_foreign, lacks_rate, priced_sql
from treehouse.ingest.reading import Reading
from treehouse.ingest.sources import CURRENCY, Column, Source

DEFAULT = Reading()
DROPPED = 2  # what `_bad` is for a row that is left out
_BLANKS = "' \\t\\r\\n'"


@dataclass(frozen=True)
class Rule:
    """A rule that a row can break.

    Attributes:
        broken: SQL, true for a row that breaks it.
        reason: SQL of the text that says so, with the value.
        code: The same without the value, to group by.
    """

    broken: str
    reason: str
    code: str


def _line_rule(whole: str) -> Rule:
    shown = "toValidUTF8(substring(_line, 1, 200)), '\\''"
    told = f"concat({literal(f'the line is not {whole}: ')}, '\\'', {shown})"
    return Rule("(_line != '')", told, "line.unreadable")


_RATE_RULE = Rule(
    lacks_rate(),
    "concat('currency \\'', toValidUTF8(substring(_currency, 1, 200)), '\\' has no rate for ', "
    "toString(_day), ': give --rates')",
    "currency.rate",
)


def staged_ddl(source: Source, staged: str) -> str:
    """The table that holds a load's parsed rows, sorted so that equal ids are neighbours."""
    columns = "".join(f"{identifier(c.name)} {c.type}, " for c in source.columns)
    return (
        f"create table {staged} ({columns}"
        "_bad UInt8, _reason String, _code LowCardinality(String), _row Map(String, String), "
        "_said Array(LowCardinality(String)), _key UInt128, _content UInt64) "
        f"engine = MergeTree order by (_bad, _key, {identifier(source.time)}, _content)"
    )


def classify_sql(
    source: Source,
    staged: str,
    relation: str,
    texts: Mapping[str, str],
    reading: Reading = DEFAULT,
    whole: str = "",
    rates: str = "",
) -> str:
    """The statement that parses a relation's rows into `staged`.

    Args:
        source: The contract.
        staged: A table made by `staged_ddl`.
        relation: What to read, as SQL.
        texts: SQL of a column's value as Nullable(String), for each column that the origin has.
        reading: How texts are read.
        whole: What each row has to be, where the relation has a column `_unread`: the text of a row
            that could not be read at all, else "".
        rates: Table of `write_rates`, where `texts` has a currency.

    Rows get `_bad`, 1 for a broken one and DROPPED for one to be left out; `_reason` and `_code`;
    `_said`, what was done to their values; `_key`, equal for rows that are the same by id, or by
    content where they have none; and `_content`, to break ties the same way whatever the order of
    arrival.
    """
    columns = source.columns
    rules = [rule for column in columns for rule in _rules(column, reading)]
    is_priced = CURRENCY in texts
    if is_priced:
        rules.append(_RATE_RULE)
    refund = f"ifNull({source.refund or 0}, 0)"
    if reading.refunds == "quarantine" and source.refunds == "net":
        rules.append(Rule(refund, literal(f"it is a refund: {source.refund}"), "refund"))
    dropped = refund if reading.refunds == "drop" else "0"
    unread = "_unread" if whole else "''"
    if whole:
        rules = [
            _line_rule(whole),
            *(replace(r, broken=f"(_line = '' and {r.broken})") for r in rules),
        ]
    broken = " or ".join(rule.broken for rule in rules)
    known = [column for column in columns if column.name in texts]
    amount = source.money if is_priced else ""
    values = ", ".join(
        f"{value_sql(c, reading)} as {'_amount' if c.name == amount else identifier(c.name)}"
        for c in columns
    )
    said = [n for column in known if column.name != amount for n in notes(column, reading)]
    if is_priced:
        said.append(Note(is_foreign(), f"{amount}: converted to USD"))
    contents = {
        c.name: f"mapSort(_good_{i})" if kind(c) == "map" else f"_good_{i}"
        for i, c in enumerate(columns)
        if c.name != source.id
    }
    content = ", ".join(contents.values())
    identity = f"toString(tuple({content}))"
    if is_priced:  # the rates of another day make no other row of it
        foreign = contents | {amount: "concat(toString(_amount), ' ', _currency)"}
        foreign_sql = f"toString(tuple({', '.join(foreign.values())}))"
        identity = f"if({is_foreign()}, {foreign_sql}, {identity})"
    row = ", ".join(f"{literal(c.name)}, ifNull({raw(c)}, '')" for c in known)
    id_text = f"ifNull({text(source.column(source.id))}, '')"
    lines = [
        f"insert into {staged}",
        "with texts as (",
        "    select "
        + ", ".join(
            f"{texts.get(c.name, 'null')}::Nullable(String) as {raw(c)}, "
            f"trimBoth({raw(c)}, {_BLANKS}) as {text(c)}"
            for c in columns
        )
        + f", {unread} as _line"
        + (f", upper(trimBoth(ifNull({texts[CURRENCY]}, ''))) as _currency" if is_priced else ""),
        f"    from {relation}",
        "), parsed as (",
        "    select *, " + values,
        "    from texts",
        *((priced_sql(source, rates),) if is_priced else ()),
        "), judged as (",
        f"    select *, multiIf({dropped}, {DROPPED}, {broken}, 1, 0) as _bad,",
        "    " + ", ".join(f"{_good(c)} as _good_{i}" for i, c in enumerate(columns)),
        f"    from {'priced' if is_priced else 'parsed'}",
        "), explained as (",
        "    select *, ",
        f"    if(_bad = 1, {_joined((r.broken, r.reason) for r in rules)}, '') as _reason,",
        f"    if(_bad = 1, {_joined((r.broken, literal(r.code)) for r in rules)}, '') as _code,",
        f"    if(_bad > 0, [], {_listed((n.condition, literal(n.text)) for n in said)}) as _said,",
        f"    multiIf(_bad != 1, map(), _line != '', map('line', _line), map({row})) as _row",
        "    from judged",
        ")",
        "select "
        + ", ".join(f"_good_{i}" for i, _ in enumerate(columns))
        + ", _bad, _reason, _code, _row, _said,",
        "    reinterpretAsUInt128(sipHash128Reference(multiIf(_bad = 1, toString(_row), "
        f"{id_text} != '', {id_text}, {identity}))) as _key,",
        f"    sipHash64(tuple({content})) as _content",
        "from explained",
    ]
    return "\n".join(lines)


def _listed(cases: Iterable[tuple[str, str]]) -> str:
    """SQL of the texts whose conditions hold."""
    listed = ", ".join(f"if({condition}, {told}, '')" for condition, told in cases)
    return f"arrayFilter(s -> s != '', [{listed}]::Array(String))"


def _joined(cases: Iterable[tuple[str, str]]) -> str:
    return f"arrayStringConcat({_listed(cases)}, '; ')"


def _rules(column: Column, reading: Reading) -> list[Rule]:
    """The rules of a column, in the order in which they are told."""
    missing = f"(ifNull({text(column)}, '') = '')"
    parsed = parsed_sql(column)
    shown = f"toValidUTF8(substring(ifNull({raw(column)}, ''), 1, 200))"

    def told(rule: str) -> str:
        return f"concat({literal(column.name + ' ')}, '\\'', {shown}, '\\' ', {literal(rule)})"

    rules = [
        Rule(
            f"(not {missing} and not {parsed})",
            told("is not " + expectation(column, reading)),
            f"{column.name}.unreadable",
        )
    ]
    if column.required:
        reason = literal(f"{column.name} is missing")
        rules.insert(0, Rule(missing, reason, f"{column.name}.missing"))
    if column.check:
        broken = f"(not {missing} and {parsed} and not ifNull({column.check}, 1))"
        rules.append(Rule(broken, told(f"breaks the rule: {column.check}"), f"{column.name}.rule"))
    return rules


def _good(column: Column) -> str:
    """SQL of the value to store: the type's default where there is none."""
    if kind(column) == "map":
        return f"cast({identifier(column.name)}, {literal(column.type)})"
    default = f"defaultValueOfTypeName({literal(column.type)})"
    if column.default:
        default = f"cast({literal(column.default)}, {literal(column.type)})"
    return f"cast(ifNull({identifier(column.name)}, {default}), {literal(column.type)})"
