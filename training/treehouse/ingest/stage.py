"""Staging: all rows of the origins, parsed and judged, in a table of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from clickhouse_connect.driver.exceptions import ClickHouseError

from treehouse.clickhouse.client import identifier, literal
from treehouse.ingest import rates
from treehouse.ingest.files import files
from treehouse.ingest.jsonl import with_keys
from treehouse.ingest.layout import Layout
from treehouse.ingest.match import absent, match_columns, relation_sql
from treehouse.ingest.origin import file_layout, landed, table_layout
from treehouse.ingest.parse import date_format_sql
from treehouse.ingest.progress import Watch
from treehouse.ingest.reading import Reading
from treehouse.ingest.scratch import Scratch
from treehouse.ingest.sources import CURRENCY, Source
from treehouse.ingest.validate import classify_sql
from treehouse.project.errors import TreehouseError


class Stage:
    """Stages one origin after the other.

    Args:
        watch: Runs the statements.
        contract: What rows are judged by.
        scratch: Whose table `staged` takes them.
        reading: How the origins are read.

    Attributes:
        ignored: Columns that the contract does not name, in the order in which they came.
        said: What was found out about the files, with their number.

    Raises:
        TreehouseError: The time zone or the date format is not known, the contract takes no
            refunds, or the rates can't be read.
    """

    def __init__(self, watch: Watch, contract: Source, scratch: Scratch, reading: Reading) -> None:
        self._watch, self._contract, self._scratch = watch, contract, scratch
        self._reading = reading
        self.ignored: dict[str, None] = {}
        self.said: Counter[str] = Counter()
        self._check_times()
        self._check_refunds()
        known = rates.read_rates(Path(reading.rates)) if reading.rates else []
        rates.write_rates(watch.client, scratch.table("rates"), known)

    def read(self, origins: Sequence[str]) -> None:
        """Stage files, folders, patterns, and tables given as `table:database.name`.

        Raises:
            TreehouseError: One can't be read, or lacks a column.
        """
        paths = {p: None for o in origins if not o.startswith("table:") for p in files(o)}
        for origin in origins:
            if origin.startswith("table:"):
                self._read_table(origin.removeprefix("table:"))
        for done, path in enumerate(paths):
            self._watch.progress("read", done, len(paths))
            self._read_file(path)
        self._watch.progress("read", len(paths), len(paths))

    def _read_table(self, name: str) -> None:
        database, _, table = name.rpartition(".")
        layout = table_layout(self._watch.client, database or "default", table)
        relation = f"{identifier(database or 'default')}.{identifier(table)}"
        self._classify(f"read {name}", relation, layout)

    def _read_file(self, path: Path) -> None:
        client, embedded = self._watch.client, self._watch.settings.target == "embedded"
        layout = file_layout(path, self._reading.format, self._reading.delimiter)
        if not layout.is_json:  # before it is sent anywhere
            match_columns(self._contract, layout, self._reading.columns)
        self.said.update(layout.said)
        landing = None if embedded else self._scratch.table("landing")
        with landed(client, path, layout, landing, self._watch.progress) as relation:
            if layout.is_json:
                relation, layout = with_keys(client, layout, relation)
            self._classify(f"read {path.name}", relation, layout)

    def _classify(self, phase: str, relation: str, layout: Layout) -> None:
        texts, ignored = match_columns(self._contract, layout, self._reading.columns)
        self.ignored |= dict.fromkeys(ignored)
        lacking = {n for c in self._reading.columns.values() for n in absent(c, layout.texts)}
        self.said.update(f"no column {name}: taken as missing" for name in sorted(lacking))
        sql = classify_sql(
            self._contract,
            self._scratch.table("staged"),
            relation_sql(relation, layout),
            texts,
            self._reading,
            whole=layout.whole,
            rates=self._scratch.table("rates"),
        )
        settings = {**layout.settings, **(rates.SETTINGS if CURRENCY in texts else {})}
        self._watch.command(phase, sql, settings, layout.rows)

    def _check_times(self) -> None:
        now = f"toDateTime(0, {literal(self._reading.time_zone)})"
        self._try(
            now,
            TreehouseError(
                "Unknown time zone.",
                value=self._reading.time_zone,
                expected="a name of the IANA database, such as Europe/Berlin or UTC",
            ),
        )
        if self._reading.date_format:
            self._try(
                date_format_sql(literal("2024"), self._reading),
                TreehouseError(
                    "The engine does not take this date format.",
                    value=self._reading.date_format,
                    expected="strftime's letters (%d.%m.%Y %H:%M) or Joda's (dd.MM.yyyy HH:mm)",
                ),
            )

    def _check_refunds(self) -> None:
        if self._reading.refunds == "net" and self._contract.refunds != "net":
            raise TreehouseError(
                f"{self._contract.name} takes no refunds as they are.",
                value="--refunds net",
                expected="drop or quarantine: its contract has no negative amounts",
                fix="load what was earned and returned as events, whose revenue may be negative",
            )

    def _try(self, expression: str, refusal: TreehouseError) -> None:
        try:
            self._watch.client.query(f"select {expression}")
        except ClickHouseError as error:
            raise refusal from error
