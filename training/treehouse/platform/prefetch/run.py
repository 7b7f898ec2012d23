"""One pass: asks for what the plan takes, within the limits, and keeps the answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from treehouse.clickhouse.client import connect, literal
from treehouse.clickhouse.turns import BusyError, alone
from treehouse.platform.prefetch.config import Prefetch
from treehouse.platform.prefetch.plan import TAKEN, Candidate, candidates, make_plan
from treehouse.platform.query_log.collect import OWN, collect, left_out
from treehouse.platform.result_cache.fill import upkeep
from treehouse.platform.result_cache.keep import Wanted, keep
from treehouse.project.console import Report

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.platform.result_cache.config import ResultCache
    from treehouse.project.settings import Settings

_LOW_PRIORITY = 10  # behind queries of a lower number, where they have one


def ask(
    client: Client,
    settings: Settings,
    cache: ResultCache,
    limits: Prefetch,
    wanted: Sequence[Wanted],
    stop: threading.Event | None = None,
    progress: Report = lambda *_: None,
) -> list[dict[str, Any]]:
    """Ask for answers in their order, and keep them.

    Nothing more is begun once the budget is used up, while the engine is busy with others, or when
    told to stop. A query that fails is logged, and the others go on.

    Args:
        client: Of who owns the store.
        settings: Whose target is asked; each query at a time has clients of its own.
        cache: The named queries.
        limits: Of the pass.
        wanted: What is worth it, the best first.
        stop: Set from outside to end the pass after the queries that run.
        progress: Told each name.

    Returns:
        For each that was asked, what `keep` answers; for the others name, state `skipped`, detail.
    """
    queue = _Queue(client, limits, wanted, stop or threading.Event())
    settled = {"max_threads": limits.threads, "priority": _LOW_PRIORITY}

    def work() -> list[dict[str, Any]]:
        owner = connect(settings)
        try:
            return keep(owner, settings, cache, queue, settled, progress)
        finally:
            owner.close()

    with ThreadPoolExecutor(limits.concurrency) as pool:
        workers = [pool.submit(work) for _ in range(min(limits.concurrency, len(wanted)))]
        rows = [row for worker in workers for row in worker.result()]
    return rows + queue.skipped


@dataclass(frozen=True)
class Done:
    """What a pass did.

    Attributes:
        planned: Every candidate with its decision.
        rows: What came of those that were taken, as `ask` answers.
        renewed: Stored answers that live on, for nothing was written to their tables.
    """

    planned: tuple[Candidate, ...]
    rows: list[dict[str, Any]]
    renewed: int


def run_pass(
    client: Client,
    settings: Settings,
    cache: ResultCache,
    limits: Prefetch,
    stop: threading.Event | None = None,
    progress: Report = lambda *_: None,
) -> Done:
    """Take over what was asked, renew what may live on, and ask for what is worth it.

    Arguments are as in `ask`.

    Raises:
        TreehouseError: Another pass runs, or the models are not built.
    """
    with alone(client, settings, f"prefetch into {cache.database}"):
        progress("collect", None, None)
        with suppress(BusyError):  # another collection: it takes over the same
            collect(client, settings)
        renewed = upkeep(client, settings, cache)
        planned = make_plan(client, cache, limits, candidates(client, settings, cache, limits))
        wanted = [one.wanted for one in planned if one.decision == TAKEN]
        return Done(planned, ask(client, settings, cache, limits, wanted, stop, progress), renewed)


class _Queue(Iterator[Wanted]):
    """What the workers take from, until something stands against the next."""

    def __init__(
        self, client: Client, limits: Prefetch, wanted: Sequence[Wanted], stop: threading.Event
    ) -> None:
        self.client, self.limits, self.left, self.stop = client, limits, [*wanted], stop
        self.skipped: list[dict[str, Any]] = []
        self.began = time.monotonic()
        self.lock = threading.Lock()

    def __next__(self) -> Wanted:
        with self.lock:
            if self.left and (why := self._hindrance()):
                self.skipped = [
                    {"name": one.query.name, "state": "skipped", "detail": why} for one in self.left
                ]
                self.left = []
            if not self.left:
                raise StopIteration
            return self.left.pop(0)

    def _hindrance(self) -> str:
        if self.stop.is_set():
            return "told to stop"
        if (time.monotonic() - self.began) * self.limits.concurrency > self.limits.budget_seconds:
            return "the budget is used up"
        running = others_running(self.client)
        return f"{running} queries of others run" if running > self.limits.most_running else ""


def others_running(client: Client) -> int:
    """Queries that run now, without Treehouse's own."""
    with left_out(client, "prefetch"):
        return int(
            client.query(
                "select count() from system.processes where is_initial_query "
                f"and position(Settings['log_comment'], {literal(OWN)}) = 0"
            ).result_rows[0][0]
        )
