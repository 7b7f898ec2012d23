"""Long statements, with progress."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from clickhouse_connect.driver.client import Client

from treehouse.clickhouse.client import connect, literal
from treehouse.ingest.layout import Progress
from treehouse.project.settings import Settings

_SECONDS = 1.0


@dataclass(frozen=True)
class Watch:
    """Runs statements, and tells how many rows they have read each second.

    Attributes:
        client: What runs them.
        settings: For a second client, which looks on.
        marker: Text that is in these statements and in no others.
        progress: Told the phase, the rows read and those to read, where the engine knows them.
    """

    client: Client
    settings: Settings
    marker: str
    progress: Progress

    def command(
        self,
        phase: str,
        statement: str,
        options: Mapping[str, Any] | None = None,
        rows: int | None = None,
    ) -> None:
        """Run a statement that answers nothing.

        Args:
            phase: What it does.
            statement: SQL that holds the marker.
            options: Query settings.
            rows: How many it will read, where the engine can't know.
        """
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(self.client.command, statement, settings=dict(options or {}))
            if wait([running], _SECONDS).not_done:
                watcher = connect(self.settings)
                try:
                    while wait([running], _SECONDS).not_done:
                        self._look(watcher, phase, rows)
                finally:
                    watcher.close()
            running.result()

    def _look(self, watcher: Client, phase: str, rows: int | None) -> None:
        found = watcher.query(
            "select read_rows, total_rows_approx from system.processes "
            f"where position(query, {literal(self.marker)}) > 0 "
            "and position(query, 'system.processes') = 0"
        ).result_rows
        for done, known in found[:1]:  # what views read again counts too
            total = rows or known or None
            self.progress(phase, min(done, total or done), total)
