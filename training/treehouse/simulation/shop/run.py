"""Runs a plan against the engine; simulated time and person travel in log_comment.

What ran is collected at once: the embedded engine forgets its logs when its last client closes.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from dataclasses import replace as changed
from datetime import datetime, timedelta

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from treehouse.clickhouse.client import connect
from treehouse.platform.query_log.collect import Collected, collect
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import Settings
from treehouse.simulation.shop.plan import Options, Request, plan
from treehouse.simulation.shop.shop import DATABASE, create_shop


@dataclass(frozen=True)
class Ran:
    """What a workload did.

    Attributes:
        statements: How many were sent.
        failed: Statements that the engine refused.
        seconds: Wall time.
        first_error: The engine's words for the first that failed.
        collected: What the engine's logs then held of it.
    """

    statements: int
    failed: int
    seconds: float
    first_error: str
    collected: Collected


def run_workload(
    settings: Settings,
    options: Options,
    *,
    speed: float = 0.0,
    clients: int = 4,
    replace: bool = False,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Ran:
    """Make the shop's tables and run the plan on them.

    Args:
        settings: Whose target runs it.
        options: Of the plan.
        speed: Simulated seconds in a second; 0 is as fast as the engine answers.
        clients: How many send at once.
        replace: Whether the tables of an earlier run may be dropped.
        progress: Told the statements done, and all of them.

    Raises:
        TreehouseError: The tables are there already, or every statement failed.
    """
    requests = list(plan(options))
    main = connect(settings)
    try:
        _prepare(main, options, replace)
        # Equal seeds ask the same; the sessions of two runs are still two.
        run = secrets.token_hex(4)
        requests = [
            changed(one, session=one.session and f"{run}_{one.session}") for one in requests
        ]
        played = play(
            settings, requests, options.start, speed=speed, clients=clients, progress=progress
        )
        collected = collect(main, settings)
    finally:
        main.close()
    if played.failed == len(requests):
        raise TreehouseError("Every statement of the workload failed.", value=played.first_error)
    return Ran(len(requests), played.failed, played.seconds, played.first_error, collected)


@dataclass(frozen=True)
class Played:
    """What came of some requests: seconds of wall time, and as in `Ran`."""

    failed: int
    seconds: float
    first_error: str


def play(
    settings: Settings,
    requests: Sequence[Request],
    start: datetime,
    *,
    speed: float = 0.0,
    clients: int = 4,
    progress: Callable[[int, int], None] = lambda *_: None,
    heard: Callable[[Request, float], None] = lambda *_: None,
) -> Played:
    """Send requests in their order, by several clients.

    Args:
        settings: Whose target is asked.
        requests: What is asked, by time.
        start: The simulated time at which it begins.
        speed: Simulated seconds in a second; 0 is as fast as the engine answers.
        clients: How many send at once.
        progress: Told the statements done, and all of them.
        heard: Told each request that was answered, and the seconds that it took.
    """
    run = _Run(iter(requests), start, speed, len(requests), progress, heard)
    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        for worker in [pool.submit(run.work, settings) for _ in range(clients)]:
            worker.result()
    return Played(run.failed, time.perf_counter() - began, run.first_error)


def _prepare(client: Client, options: Options, replace: bool) -> None:
    there = client.query(f"select count() from system.databases where name = '{DATABASE}'")
    if there.result_rows[0][0] and not replace:
        raise TreehouseError(
            "The tables of an earlier workload are there.",
            value=DATABASE,
            fix="say --replace to drop them",
        )
    create_shop(client, options.start, options.scale)


class _Run:
    """The state that the clients share: what is next, and what came of it."""

    def __init__(
        self,
        requests: Iterator[Request],
        start: datetime,
        speed: float,
        total: int,
        progress: Callable[[int, int], None],
        heard: Callable[[Request, float], None],
    ) -> None:
        self.requests, self.start, self.speed = requests, start, speed
        self.total, self.progress, self.heard = total, progress, heard
        self.done = self.failed = 0
        self.first_error = ""
        self.began = time.perf_counter()
        self.lock = threading.Lock()

    def work(self, settings: Settings) -> None:
        """One client: takes the next request until there is none."""
        client = connect(settings)
        try:
            while request := self._next():
                self._send(client, request)
        finally:
            client.close()

    def _next(self) -> Request | None:
        with self.lock:
            self.done += 1
            if self.done % 100 == 0:
                self.progress(self.done, self.total)
            return next(self.requests, None)

    def _send(self, client: Client, request: Request) -> None:
        if self.speed:
            due = (request.at - self.start) / timedelta(seconds=self.speed)
            time.sleep(max(0.0, self.began + due - time.perf_counter()))
        try:
            send = client.query if request.sql.startswith("select") else client.command
            began = time.perf_counter()
            send(request.sql, settings={"log_comment": _comment(request)})
            self.heard(request, time.perf_counter() - began)
        except ClickHouseError as error:
            with self.lock:
                self.failed += 1
                self.first_error = self.first_error or str(error).splitlines()[0]


def _comment(request: Request) -> str:
    named = {"user": request.user, "session": request.session, "dashboard": request.dashboard,
             "panel": request.panel}  # fmt: skip
    at = request.at.strftime("%Y-%m-%d %H:%M:%S.%f")
    return json.dumps({"at": at} | {name: value for name, value in named.items() if value})
