"""Simulated users into the engine: numbers travel as columns, SQL makes names and ids of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import numpy as np
import pyarrow as pa
from clickhouse_connect.driver.client import Client

from treehouse.clickhouse.client import identifier, literal, run_script
from treehouse.ingest.sources import find_source
from treehouse.project.settings import Settings
from treehouse.simulation.app import catalog
from treehouse.simulation.app import parameters as p
from treehouse.simulation.app.generate import event_rows, generate
from treehouse.simulation.app.truth import COLUMNS, truth
from treehouse.simulation.app.world import CREATIVES, DEVICE_TYPES, OS_NAMES

TRUTH_DATABASE = "simulation_truth"
"""True values of simulated users. No model of features may read it."""
BATCH_BLOCKS = 16
"""Blocks written at once: 65,536 users, about 1.4 million events, 60 MB of columns."""
Columns = dict[str, np.ndarray[tuple[int], np.dtype[np.generic]]]

_USER_ID = "concat('u', leftPad(toString(user), 7, '0'))"
_KINDS = {"i": "Int64", "f": "Float64"}


def user_id(number: int) -> str:
    """The id of a simulated user."""
    return f"u{number:07d}"


def ensure_truth(client: Client) -> None:
    """Create the table of true values, where missing; empty when nothing was simulated."""
    columns = ",\n".join(
        f"{identifier(name)} {kind} comment {literal(comment)}"
        for name, (kind, comment) in COLUMNS.items()
    )
    database = identifier(TRUTH_DATABASE)
    run_script(
        client,
        [
            f"create database if not exists {database} engine = Atomic",
            f"create table if not exists {database}.users (user_id String comment 'Simulated user',"
            f"\n{columns}) engine = MergeTree order by user_id "
            "comment 'What only the simulator knows; no feature may read it'",
        ],
    )


def write_batch(
    client: Client,
    settings: Settings,
    parameters: p.Parameters,
    run: tuple[int, date],
    users: int,
    blocks: range,
) -> None:
    """Generate blocks and append what is not there yet: rows are recognised by their ids.

    Args:
        client: Of the engine.
        settings: Where the sources are.
        parameters: Of the generative model.
        run: Seed and present.
        users: Of the run.
        blocks: Numbers of the blocks.
    """
    seed, end = run
    events: list[Columns] = []
    installs: list[Columns] = []
    truths: list[Columns] = []
    for number in blocks:
        block = generate(parameters, seed, end, number)
        events.append(vars(event_rows(block, users, end)))
        truths.append(truth(block, users))
        size = truths[-1]["user"].size
        names = ("install_ms", "campaign", "creative", "country", "platform", "device", "os")
        codes = {name: getattr(block.users, name)[:size] for name in names}
        installs.append({"user": truths[-1]["user"]} | codes)
    first = blocks.start * p.BLOCK_USERS
    span = range(first, min(blocks.stop * p.BLOCK_USERS, users))
    write = _writer(client, settings, span)
    write(events, find_source(settings, "events").qualified, "event_id", _EVENT)
    write(installs, find_source(settings, "installs").qualified, "user_id", _INSTALL)
    write(truths, f"{identifier(TRUTH_DATABASE)}.users", "user_id", _truth_columns())


def _writer(
    client: Client, settings: Settings, span: range
) -> Callable[[list[Columns], str, str, dict[str, str]], None]:
    """A function that appends columns to a table, through a table of numbers in memory."""
    landing = f"{identifier(settings.raw_database)}.simulation_batch"
    low, high = literal(user_id(span.start)), literal(user_id(span.stop - 1))

    def write(parts: list[Columns], table: str, key: str, select: dict[str, str]) -> None:
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        types = ", ".join(f"{identifier(n)} {_KINDS[c.dtype.kind]}" for n, c in columns.items())
        expressions = ", ".join(f"{sql} as {identifier(name)}" for name, sql in select.items())
        names = ", ".join(map(identifier, select))
        client.command(f"drop table if exists {landing} sync")
        client.command(f"create table {landing} ({types}) engine = Memory")
        client.insert_arrow(landing, pa.table(columns))
        client.command(
            f"insert into {table} ({names}) select * from (select {expressions} from {landing}) "
            f"where {key} not in (select {key} from {table} "
            f"where user_id between {low} and {high})"
        )
        client.command(f"drop table {landing} sync")

    return write


def _pick(names: tuple[str, ...], code: str) -> str:
    """SQL of the name that a code stands for."""
    return f"[{', '.join(map(literal, names))}][{code} + 1]"


_EVENT = {
    "user_id": _USER_ID,
    "event_id": f"concat({_USER_ID}, '-', toString(number))",
    "event_name": _pick(p.EVENT_NAMES, "name"),
    "event_at": "fromUnixTimestamp64Milli(at_ms, 'UTC')",
    "session_id": f"concat({_USER_ID}, '-s', toString(session))",
    "duration_ms": "duration_ms",
    "revenue_usd": "toDecimal64(cents, 6) / 100",
}
_INSTALL = {
    "user_id": _USER_ID,
    "installed_at": "fromUnixTimestamp64Milli(install_ms, 'UTC')",
    "campaign_id": _pick(tuple(campaign.id for campaign in catalog.CAMPAIGNS), "campaign"),
    "ad_creative_id": _pick(CREATIVES, "creative"),
    "country": _pick(tuple(country.code for country in catalog.COUNTRIES), "country"),
    "platform": _pick(catalog.PLATFORMS, "platform"),
    "device_type": _pick(DEVICE_TYPES, "device"),
    "os_version": _pick(OS_NAMES, "os"),
}


def _truth_columns() -> dict[str, str]:
    return {"user_id": _USER_ID} | {name: name for name in COLUMNS}
