"""What looks wrong in rows of a source; each check yields sentences that end in what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from treehouse.clickhouse.client import identifier, literal
from treehouse.ingest.profiling.rows import Rows
from treehouse.ingest.sources import Source, find_source
from treehouse.project.settings import own_vars_file, project_vars

_SHORT_SESSION_MS = 1000
_LONG_SESSION_MS = 12 * 3_600_000
_CENTS = 99
_FEW = 0.01
_MANY = 0.9
_NAMES = 8


def warnings_of(rows: Rows, count: int, columns: Sequence[dict[str, Any]]) -> list[str]:
    """All that looks wrong.

    Args:
        rows: At least one.
        count: How many.
        columns: What each column holds: see look.py.
    """
    names = {column.name for column in rows.source.columns}
    found = [*_of_columns(rows.source, columns), *_of_categories(rows), *_of_times(rows, count)]
    found += _of_ids(rows)
    if "event_name" in names:
        found += [*_of_names(rows), *_of_sessions(rows), *_of_installs(rows, count)]
    for money in names & {"revenue_usd", "amount_usd"}:
        found += _of_money(rows, money)
    return found


def _of_columns(source: Source, columns: Sequence[dict[str, Any]]) -> Iterator[str]:
    for column in columns:
        name = column["column"]
        if name in ("properties", source.id, source.time):
            continue
        if column["missing"] == 1:
            yield (
                f"{name} is empty in every row, so what is made of it is constant: if the data has "
                f"it under another name, ./treehouse load {source.name} ... --map <theirs>={name}"
            )
        elif column["distinct"] == 1 and not source.column(name).default:
            yield f"{name} is the same in every row, and carries nothing: check what was exported"


def _of_categories(rows: Rows) -> Iterator[str]:
    """Values that are equal but for case and blanks: to a model they are different."""
    for column in rows.source.columns:
        if column.type != "LowCardinality(String)":
            continue
        name = identifier(column.name)
        alike = rows.client.query(
            f"select arrayStringConcat(arraySort(groupUniqArray(v)), ', ') from ("
            f"select distinct toString({name}) as v from {rows.relation} where notEmpty({name})) "
            "group by lower(trimBoth(v)) having uniqExact(v) > 1 order by 1 limit 3"
        ).result_rows
        if alike:
            shown = "; ".join(repr(row[0])[1:-1] for row in alike)
            yield (
                f"{column.name} has values that differ by case or blanks only ({shown}): write "
                "them alike in the export"
            )


def _of_times(rows: Rows, count: int) -> Iterator[str]:
    time = identifier(rows.source.time)
    midnight, ahead = rows.ask(
        f"countIf({time} = toStartOfDay({time})), countIf({time} > now64(3))"
    )[0]
    if midnight > _MANY * count and rows.source.name != "purchases":
        yield (
            f"{midnight / count:.0%} of the times are midnight, so hours mean nothing: export "
            "times, not days"
        )
    if ahead:
        yield (
            f"{ahead:,} rows lie in the future, by less than a day: a clock runs ahead, or times "
            "are of another zone; ./treehouse load has --time-zone"
        )


def _of_ids(rows: Rows) -> Iterator[str]:
    """Users that are one when case, blanks and a trailing .0 are left out."""
    folded = f"replaceRegexpOne(lower(trimBoth({rows.user})), '\\\\.0+$', '')"
    distinct, merged = rows.ask(f"uniqExact({rows.user}), uniqExact({folded})")[0]
    if merged < distinct:
        yield (
            f"{distinct - merged:,} ids of {rows.user.strip('`')} differ from others by case, "
            "blanks or .0 only: if they are the same users, write them alike in the export"
        )


def _of_names(rows: Rows) -> Iterator[str]:
    """Whether the events that features look for are there."""
    wanted = project_vars()["intent_events"]
    named = ", ".join(map(literal, wanted))
    found = rows.ask(f"countIf(event_name in ({named}))")[0][0]
    if found:
        return
    top = rows.ask(f"arrayStringConcat(topK({_NAMES})(toString(event_name)), ', ')")[0][0]
    yield (
        f"none of the events of the wish to buy occurs ({', '.join(wanted)}), so d7_intents is 0; "
        f"the most frequent are {top}: write intent_events: [...] into {own_vars_file()}"
    )


def _of_sessions(rows: Rows) -> Iterator[str]:
    """The time of a session, or of a user's day where there are none, in the unit that is said."""
    middle = rows.client.query(
        "select quantile(0.5)(ms) from (select sum(duration_ms) as ms from "
        f"{rows.relation} group by {rows.user}, if(empty(session_id), toString(toDate(event_at)), "
        "session_id) having ms > 0)"
    ).result_rows[0][0]
    if 0 < middle < _SHORT_SESSION_MS:
        yield (
            f"half of the sessions take less than {middle:.0f} ms: if duration_ms holds seconds, "
            "multiply it by 1000 in the export"
        )
    elif middle > _LONG_SESSION_MS:
        yield (
            f"half of the sessions take more than {middle / 3_600_000:.0f} hours: if duration_ms "
            "holds microseconds, divide it by 1000 in the export"
        )


def _of_money(rows: Rows, money: str) -> Iterator[str]:
    name = identifier(money)
    paid, whole, middle = rows.ask(
        f"countIf({name} > 0), countIf({name} > 0 and {name} = floor({name})), "
        f"toFloat64(quantileIf(0.5)({name}, {name} > 0))"
    )[0]
    if not paid:
        yield f"{money} is never above 0, so no model can learn what users are worth: check it"
    elif whole == paid and middle >= _CENTS:
        yield (
            f"{money} has whole numbers only, with {middle:,.0f} in the middle: if these are "
            "cents, divide by 100 in the export"
        )


def _of_installs(rows: Rows, count: int) -> Iterator[str]:
    """Events against the installs that are there."""
    installs = find_source(rows.settings, "installs").qualified
    if not rows.client.query(f"select count() from {installs}").result_rows[0][0]:
        return
    stranger, before = rows.client.query(
        "select countIf(installed = 0), countIf(installed and event_at < installed_at - interval 1 "
        f"day) from (select toString({rows.user}) as id, event_at from {rows.relation}) as e "
        "left join (select toString(user_id) as id, any(installed_at) as installed_at, "
        f"1 as installed from {installs} group by id) as i using (id)"
    ).result_rows[0]
    if stranger > _FEW * count:
        yield (
            f"{stranger / count:.0%} of the events are of users without an install, and belong to "
            "no row of a model: load their installs, or check that both sides write ids alike"
        )
    if before > _FEW * count:
        yield (
            f"{before / count:.0%} of the events lie more than a day before their user's install: "
            "check the time zone (--time-zone), or that installs are first installs"
        )
