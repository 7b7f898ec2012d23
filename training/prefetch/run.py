"""One pass: asks for what the plan takes, within the limits, and keeps the answers."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from training.console import Report
from training.engine import connect, literal
from training.errors import TreehouseError
from training.prefetch.config import Prefetch
from training.results.store import Wanted, keep

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from training.results.config import ResultCache
    from training.settings import Settings

OWN = '"treehouse": "prefetch"'  # in the log_comment of a pass: a second one sees it
_Row = dict[str, Any]


def ask(
    settings: Settings,
    cache: ResultCache,
    limits: Prefetch,
    wanted: Sequence[Wanted],
    stop: threading.Event | None = None,
    progress: Report = lambda *_: None,
) -> list[_Row]:
    """Ask for answers in their order, and keep them.

    Nothing is begun once the budget is used up, while the engine is busy, or when told to stop. A
    query that fails is told of, and the others go on.

    Args:
        settings: Whose target is asked; each worker has a client of its own.
        cache: The named queries.
        limits: Of the pass.
        wanted: What is worth it, the best first.
        stop: Set from outside to end the pass after the queries that run.
        progress: Told the answers done, and all of them.

    Returns:
        For each: what `keep` answers, or its name with the state `skipped` and why in detail.
    """
    work = _Pass(cache, limits, wanted, stop or threading.Event(), progress)
    with ThreadPoolExecutor(limits.concurrency) as pool:
        for worker in [pool.submit(work.run, settings) for _ in range(limits.concurrency)]:
            worker.result()
    return [work.done[number] for number in sorted(work.done)]


@dataclass
class _Pass:
    """What the workers share."""

    cache: ResultCache
    limits: Prefetch
    wanted: Sequence[Wanted]
    stop: threading.Event
    progress: Report
    done: dict[int, _Row] = field(default_factory=dict)
    seconds: float = 0.0
    taken: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, settings: Settings) -> None:
        client = connect(settings)
        client.set_client_setting("log_comment", f"{{{OWN}}}")
        try:
            while (number := self._next()) is not None:
                row = self._one(client, settings, self.wanted[number])
                with self.lock:
                    self.done[number] = row
                    self.seconds += row.get("seconds", 0.0)
        finally:
            client.close()

    def _next(self) -> int | None:
        with self.lock:
            if self.taken == len(self.wanted):
                return None
            self.taken += 1
            self.progress("answers", self.taken, len(self.wanted))
            return self.taken - 1

    def _one(self, client: Client, settings: Settings, one: Wanted) -> _Row:
        if why := self._hindrance(client):
            return {"name": one.query.name, "state": "skipped", "detail": why}
        return keep(client, settings, self.cache, [one])[0]

    def _hindrance(self, client: Client) -> str:
        if self.stop.is_set():
            return "told to stop"
        if self.seconds >= self.limits.budget_seconds:
            return "the budget is used up"
        running = others_running(client)
        return f"{running} queries of others run" if running > self.limits.most_running else ""


def others_running(client: Client) -> int:
    """Queries that run now, without those of a pass."""
    return int(
        client.query(
            "select count() from system.processes where is_initial_query "
            f"and query_id != queryID() and position(Settings['log_comment'], {literal(OWN)}) = 0"
        ).result_rows[0][0]
    )


@contextmanager
def alone(client: Client, settings: Settings) -> Iterator[None]:
    """Refuse to go on beside another pass: of this machine by a lock that ends with its process,
    of others by their queries.

    Raises:
        TreehouseError: There is one.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / "prefetch.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise _busy() from error
        running = client.query(
            "select count() from system.processes where query_id != queryID() "
            f"and position(Settings['log_comment'], {literal(OWN)}) > 0"
        ).result_rows[0][0]
        if running:
            raise _busy()
        yield


def _busy() -> TreehouseError:
    return TreehouseError("Another prefetch is running.", fix="wait until it has finished")
