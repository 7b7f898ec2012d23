"""Amounts in several currencies: rates, and the SQL that makes US dollars of an amount."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path

from clickhouse_connect.driver.client import Client

from treehouse.clickhouse.client import identifier, literal
from treehouse.ingest.sources import Source
from treehouse.project.errors import TreehouseError

COLUMNS = ("currency", "usd", "since")
_EARLIEST = date(1900, 1, 1)
_DOLLARS = "('', 'USD')"
#: Of a statement with `priced_sql`: no other algorithm finds the last rate up to a day.
SETTINGS = {"join_algorithm": "hash"}


@dataclass(frozen=True)
class Rate:
    """What one unit of a currency is worth.

    Attributes:
        currency: ISO 4217 code.
        since: The first day, UTC, for which it holds.
        usd: US dollars for one unit.
    """

    currency: str
    since: date
    usd: Decimal


def read_rates(path: Path) -> list[Rate]:
    """The rates of a CSV file with the columns currency, usd and, if they change, since.

    Raises:
        TreehouseError: It is not there, lacks a column, or a line is not a rate.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise _misfit(path, error) from error
    rates: dict[tuple[str, date], Rate] = {}
    for number, line in enumerate(lines, 2):
        try:
            since = date.fromisoformat(line["since"]) if line.get("since") else _EARLIEST
            rate = Rate(line["currency"].strip().upper(), since, Decimal(line["usd"]))
        except (KeyError, ValueError, TypeError, AttributeError, InvalidOperation) as error:
            raise _misfit(f"{path}:{number}", line) from error
        is_whole = None not in line and "_" not in line["usd"]
        is_rate = is_whole and rate.currency and rate.usd.is_finite() and rate.usd > 0
        if not is_rate or rates.setdefault((rate.currency, since), rate) != rate:
            raise _misfit(f"{path}:{number}", line)
    return list(rates.values())


def write_rates(client: Client, table: str, rates: list[Rate]) -> None:
    """Create the table that `priced_sql` joins.

    Args:
        client: Of the engine.
        table: Qualified name.
        rates: What it holds.
    """
    client.command(
        f"create table {table} (_rate_currency String, _rate_since Date32, "
        "_rate Decimal(38, 18)) engine = MergeTree order by (_rate_currency, _rate_since)"
    )
    rows = ", ".join(
        f"({literal(rate.currency)}, '{rate.since}', '{rate.usd:f}')" for rate in rates
    )
    if rows:
        client.command(f"insert into {table} values {rows}")


def priced_sql(source: Source, table: str) -> str:
    """The CTE `priced`: `parsed`, whose `_amount` is of `_currency`, with the amount in US dollars.

    Args:
        source: Its column of amounts is added, in its currency where there is no rate.
        table: Of `write_rates`; the last rate up to the row's day counts.
    """
    column = source.column(source.money)
    scale = column.type.rstrip(")").rsplit(",", 1)[-1].strip()
    product = f"round(toDecimal256(_amount, 18) * toDecimal256(_rate, 18), {scale})"
    usd = f"accurateCastOrNull({product}, {literal(column.type)})"
    day = f"toDate32(ifNull({identifier(source.time)}, toDateTime64(0, 3, 'UTC')))"
    return (
        f"), priced as (\n    select *, if({is_foreign()} and _rate > 0, {usd}, _amount) "
        f"as {identifier(column.name)}\n    from (select *, {day} as _day from parsed) as parsed "
        f"asof left join {table} as rates\n    on parsed._currency = rates._rate_currency "
        "and parsed._day >= rates._rate_since"
    )


def is_foreign() -> str:
    """SQL of whether an amount is of another currency."""
    return f"(_currency not in {_DOLLARS} and ifNull(_amount != 0, 0))"


def lacks_rate() -> str:
    """SQL of whether a rate is missing."""
    return f"({is_foreign()} and _rate = 0)"


def _misfit(where: object, value: object) -> TreehouseError:
    return TreehouseError(
        f"Rates could not be read: {where}",
        value=value,
        expected="CSV with the columns currency (EUR), usd (1.08: for one unit) and, if they "
        "change, since (2024-01-31), each currency and day once",
    )
