"""Loading: rows of a file or a table into a source, each id once, the broken ones to quarantine.

A load has two phases. *Stage*: the engine reads the origin as text, parses it, judges each row, and
writes all of them to a table of its own. *Merge*: the good rows go on to the source and the bad
ones to the quarantine, but for those that are there. Staging leaves no trace if it is interrupted;
merging can be repeated.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from treehouse.clickhouse.client import identifier, literal
from treehouse.clickhouse.turns import Turn, alone
from treehouse.ingest.layout import Progress
from treehouse.ingest.merge import merge, quarantine_keeper, raw_keeper
from treehouse.ingest.progress import Watch
from treehouse.ingest.reading import Reading
from treehouse.ingest.scratch import Scratch, clear_interrupted, number
from treehouse.ingest.sources import Source, ensure_raw, find_source, with_types_of_table, writing
from treehouse.ingest.stage import Stage
from treehouse.ingest.validate import DROPPED, staged_ddl
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import Settings


@dataclass(frozen=True)
class LoadReport:
    """What became of an origin's rows: `rows` is the sum of the other counts of rows.

    Attributes:
        load_id: As in the quarantine and the load log.
        source: Where to.
        origin: Where from.
        rows: All rows of the origin.
        loaded: Rows that were inserted.
        quarantined: Rows that break the contract.
        duplicate: Rows whose id was there before, in the source or in this load.
        seconds: Wall-clock time.
        dropped: Refunds that were left out, as the reading says.
        ignored: Columns of the origin that the contract does not name.
        reasons: Quarantined rows by what is wrong with them, the most frequent first.
        said: What was done to values, with how many rows it was done to.
        interrupted: Loads of this source that had not finished. What they inserted is there once,
            but a materialized view may have missed the last of it: see reconcile.py.
    """

    load_id: str
    source: str
    origin: str
    rows: int
    loaded: int
    quarantined: int
    duplicate: int
    seconds: float
    dropped: int = 0
    ignored: tuple[str, ...] = ()
    reasons: Mapping[str, int] = field(default_factory=dict)
    said: Mapping[str, int] = field(default_factory=dict)
    interrupted: tuple[str, ...] = ()


def load(
    client: Client,
    settings: Settings,
    source: str,
    origins: str | Sequence[str],
    *,
    progress: Progress | None = None,
    reading: Reading | None = None,
) -> LoadReport:
    """Load origins into a source.

    Args:
        client: Of the settings' target.
        settings: Its memory bound sizes the passes.
        source: Name of a contract: events, installs, purchases.
        origins: Files, folders, patterns, or `table:database.name`; a file that is named twice is
            read once.
        progress: Told the phase, what is done of it and of how much, where that is known.
        reading: How they are read where they do not say so themselves.

    Of several rows with one id the earliest is kept, by time and then by content; a row that was
    loaded before stays. Times without a zone are in the reading's.

    Raises:
        TreehouseError: The origin can't be read, lacks a column, or another load is running.
    """
    contract = find_source(settings, source)
    with alone(client, settings, writing(settings, source)) as turn:
        named = (origins,) if isinstance(origins, str) else tuple(origins)
        return _load(turn, contract, named, progress or (lambda *_: None), reading or Reading())


def _load(
    turn: Turn,
    contract: Source,
    origins: Sequence[str],
    progress: Progress,
    reading: Reading,
) -> LoadReport:
    client, settings, source = turn.client, turn.settings, contract.name
    began, started_at = time.monotonic(), datetime.now(UTC)
    ensure_raw(client, settings)
    contract = with_types_of_table(client, contract)
    scratch = Scratch.new(settings.raw_database, source)
    interrupted = clear_interrupted(client, scratch, progress)
    client.command(staged_ddl(contract, scratch.table("staged")))
    watch = Watch(client, settings, scratch.prefix, progress)
    origin = ", ".join(origins)
    try:
        stage = Stage(watch, contract, scratch, reading)
        stage.read(origins)
    except BaseException as error:
        with suppress(ClickHouseError):
            scratch.drop(client)
        if not isinstance(error, ClickHouseError):
            raise
        raise TreehouseError(
            "The engine could not read the origin; nothing was loaded.",
            value=f"{origin}: {error}",
            fix="mend the origin, or say what its format is with --format",
        ) from error
    run = partial(
        merge,
        watch,
        staged=scratch.table("staged"),
        fresh=scratch.table("fresh"),
        order=f"{identifier(contract.time)}, _content",
    )
    turn.check()
    quarantine = f"{identifier(settings.raw_database)}.quarantine"
    reasons = _counts(client, scratch, "_code", "_bad = 1")
    dropped = number(
        client, f"select count() from {scratch.table('staged')} where _bad = {DROPPED}"
    )
    said = stage.said | Counter(_counts(client, scratch, "arrayJoin(_said)"))
    bad, _ = run(quarantine_keeper(contract, quarantine, scratch.load_id))
    good, loaded = run(raw_keeper(contract))
    report = LoadReport(
        load_id=scratch.load_id,
        source=source,
        origin=origin,
        rows=good + bad + dropped,
        loaded=loaded,
        quarantined=bad,
        duplicate=good - loaded,
        dropped=dropped,
        seconds=time.monotonic() - began,
        ignored=tuple(stage.ignored),
        reasons=reasons,
        said=dict(said),
        interrupted=interrupted,
    )
    _log(client, settings, report, started_at)
    scratch.drop(client)
    return report


def _counts(client: Client, scratch: Scratch, value: str, where: str = "1") -> dict[str, int]:
    """How many staged rows have each value, the most frequent first."""
    found = client.query(
        f"select toString({value}) as value, count() as rows from {scratch.table('staged')} "
        f"where {where} group by value order by rows desc, value"
    )
    return {row[0]: int(row[1]) for row in found.result_rows}


def _log(client: Client, settings: Settings, report: LoadReport, started_at: datetime) -> None:
    values = ", ".join(
        [
            *map(literal, (report.load_id, report.source, report.origin)),
            f"fromUnixTimestamp64Milli({int(started_at.timestamp() * 1000)}, 'UTC')",
            *map(str, (report.rows, report.loaded, report.quarantined, report.duplicate)),
            str(report.dropped),
            "[" + ", ".join(map(literal, report.ignored)) + "]",
        ]
    )
    client.command(
        f"insert into {identifier(settings.raw_database)}.load_log (load_id, source, origin, "
        f"started_at, rows, loaded, quarantined, duplicate, dropped, ignored) select {values}"
    )
