"""`bench prefetch`: the same hours of dashboards and analysts, with and without answers ahead.

Models learn from the earlier part of a seeded plan, on small tables. Then each arm asks the later
part at its own pace, but some times as fast as life, with all that the owner allows shortened
alike; the tables are large enough that a query takes what it does on a platform. Queries and passes
take as long as in life, and so weigh more: what is found is rather too little than too much.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from treehouse.bench.prefetch_arms import ARMS, Arm, Scene, create_rules
from treehouse.bench.prefetch_measures import measures
from treehouse.clickhouse.client import connect, identifier, literal
from treehouse.clickhouse.dbt import build
from treehouse.fit.train import train
from treehouse.platform.prefetch.config import Prefetch
from treehouse.platform.query_log.collect import collect
from treehouse.platform.query_log.logs import Logs
from treehouse.platform.result_cache.config import ResultCache
from treehouse.platform.result_cache.fill import clear, upkeep
from treehouse.project.console import Report
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import project_vars
from treehouse.registry.promotions import promote
from treehouse.registry.publish import publish
from treehouse.simulation.shop.dashboards import named_queries
from treehouse.simulation.shop.plan import START, plan
from treehouse.simulation.shop.plan import Options as Plan
from treehouse.simulation.shop.run import play
from treehouse.simulation.shop.shop import DATABASE, create_shop
from treehouse.spec import load_spec

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings

Record = dict[str, Any]
_LOGS = "treehouse_bench_logs"
_MODELS = ("next_query", "cache_admission")
_TREES = 100  # at most, of a day's queries


@dataclass(frozen=True)
class Options:
    """What is asked, and how fast.

    Attributes:
        hours: Simulated hours that models learn from; the judged part comes after. New rows come in
            at each hour, ten minutes after the judged part begins.
        minutes: Simulated minutes that each arm is judged by.
        speed: Simulated seconds in one.
        pass_seconds: Simulated seconds between two passes.
        sessions, people, seed: Of the plan.
        scale: Factor of the tables' rows in the judged part.
        clients: How many ask at once, at most.
        arms: Which ones, by name; all without any.
    """

    hours: int = 24
    minutes: int = 20
    speed: float = 15.0
    pass_seconds: float = 60.0
    sessions: int = 200
    people: int = 40
    seed: int = 7
    scale: float = 400.0
    clients: int = 8
    arms: tuple[str, ...] = ()


def run(settings: Settings, options: Options, report: Report = lambda *_: None) -> list[Record]:
    """Latencies of each arm, what it spent, and how stale its answers were.

    Args:
        settings: Of a home folder for this alone: shop, models and store are made anew.
        options: What is asked.
        report: Told the phases.

    Returns:
        For each arm: median and 90th percentile of the milliseconds of dashboards' queries and of
        all, and the same of the processor's time, which other work on the machine does not change;
        the share answered from the store; the processor's seconds of the whole engine; seconds and
        bytes spent on keeping answers, the share of those seconds whose answer nobody read; and the
        seconds, in simulated time, by which the stalest answer was behind.

    Raises:
        TreehouseError: There is no such arm, or an answer was staler than its owner allows.
    """
    if unknown := set(options.arms) - set(ARMS):
        raise TreehouseError(
            "There is no such arm.", value=", ".join(unknown), expected=" or ".join(ARMS)
        )
    bench = _Bench(settings, options)
    with closing(connect(settings)) as client:
        bench.learn(client, report)
        records: list[Record] = []
        for name in options.arms or ARMS:
            report(name, len(records), len(options.arms or ARMS))
            records.append(bench.judge(client, name, ARMS[name]))
    first = records[0]
    ratios = {"ratio": "median_ms", "cpu_ratio": "median_cpu_ms"}
    return [
        record | {name: record[of] / first[of] for name, of in ratios.items()} for record in records
    ]


class _Bench:
    """The plan in its two parts, and the limits at both paces."""

    def __init__(self, settings: Settings, options: Options) -> None:
        self.settings, self.options = settings, options
        self.given = dict(project_vars()["result_cache"]) | {"queries": named_queries()}
        self.cache = ResultCache.configured(self._at(options.speed))
        self.start = START + timedelta(hours=9)  # when people come to work
        self.split = self.start + timedelta(hours=options.hours, minutes=-10)
        until = self.split + timedelta(minutes=options.minutes)
        whole = Plan(
            start=self.start, hours=options.hours + 1 + options.minutes // 60, seed=options.seed,
            sessions=options.sessions, people=options.people, views=self.cache.database,
        )  # fmt: skip
        self.earlier = [request for request in plan(whole) if request.at < self.split]
        later = plan(replace(whole, scale=options.scale))
        self.later = [request for request in later if self.split <= request.at < until]

    def _at(self, speed: float) -> Mapping[str, Any]:
        """The result cache, with all that is allowed shortened."""
        tables = {table: allowed / speed for table, allowed in self.given["tables"].items()}
        return self.given | {"tables": tables}

    @property
    def limits(self) -> Prefetch:
        """Those of dbt_project.yml, for a pass as often as it is here."""
        options, given = self.options, Prefetch.configured()
        seconds = options.pass_seconds / options.speed
        return replace(
            given,
            pass_seconds=seconds,
            recent_minutes=24 * 60,
            budget_seconds=given.budget_seconds * seconds / given.pass_seconds,
            most_running=options.clients,
        )

    def learn(self, client: Client, report: Report) -> None:
        """Ask the earlier part through views without answers, and promote what learns from it."""
        report("learn", None, None)
        create_shop(client, self.start)
        upkeep(client, self.settings, ResultCache.configured(self._at(1.0)))
        play(self.settings, self.earlier, self.start)
        collect(client, self.settings)
        limits = project_vars()["prefetch"] | {"budget_seconds": self.limits.budget_seconds}
        variables = {"result_cache": self.given, "prefetch": limits}
        folders = [f"+path:models/{name}" for name in (*_MODELS, "prefetch")]
        build(
            self.settings,
            ["--select", *folders, "--exclude-resource-type", "test", "--vars",
             yaml.safe_dump(variables)],
        )  # fmt: skip
        for name in _MODELS:
            report(f"train {name}", None, None)
            spec = load_spec(name)
            train(
                client, self.settings, replace(spec, boosting=replace(spec.boosting, trees=_TREES))
            )
            version, _ = publish(client, self.settings, name, force="of this bench alone")
            promote(client, self.settings, name, version.version, "of this bench alone")
        create_rules(client, self.settings)
        report("tables", None, None)
        create_shop(client, self.split, self.options.scale)

    def judge(self, client: Client, name: str, arm: Arm | None) -> Record:
        """One arm over the later part, from an empty store and the log of the earlier part."""
        logs = self._reset(client)
        began = client.query("select now64(6)").result_rows[0][0]
        heard: list[tuple[bool, float]] = []
        scene = Scene(self.settings, self.cache, self.limits, logs, self.later,
                      self.options.pass_seconds)  # fmt: skip
        stop = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            passes = pool.submit(self._passes, arm, scene, stop)
            play(
                self.settings, self.later, self.split, speed=self.options.speed,
                clients=self.options.clients,
                heard=lambda request, seconds: heard.append((bool(request.dashboard), seconds)),
            )  # fmt: skip
            stop.set()
            count = passes.result()
        collect(client, self.settings, logs=logs)
        boards = [seconds * 1000 for of_dashboard, seconds in heard if of_dashboard]
        every = [seconds * 1000 for _, seconds in heard]
        return {
            "bench": "prefetch",
            "arm": name,
            "queries": len(boards),
            "median_ms": float(np.median(boards)),
            "p90_ms": float(np.quantile(boards, 0.9)),
            "all_median_ms": float(np.median(every)),
            "all_p90_ms": float(np.quantile(every, 0.9)),
            "passes": count,
        } | measures(client, self.settings, self.cache, began, self.options.speed)

    def _passes(self, arm: Arm | None, scene: Scene, stop: threading.Event) -> int:
        """Passes of an arm until it is told to stop; how many."""
        if arm is None:
            return 0
        began, count = time.monotonic(), 0
        with closing(connect(self.settings)) as client:
            while not stop.is_set():
                now = self.split + timedelta(
                    seconds=(time.monotonic() - began) * self.options.speed
                )
                arm(client, scene, now)
                count += 1
                due = began + count * self.limits.pass_seconds
                stop.wait(max(0.0, due - time.monotonic()))
        return count

    def _reset(self, client: Client) -> Logs:
        """Forget what an earlier arm asked, wrote and kept; the log from now on."""
        moment = f"{self.split:%Y-%m-%d %H:%M:%S}"
        for table, column in (
            (f"{identifier(self.settings.raw_database)}.engine_queries", "event_at"),
            (f"{DATABASE}.orders", "at"),
            (f"{DATABASE}.visits", "at"),
        ):
            client.command(
                f"alter table {table} delete where {column} >= {{moment:DateTime('UTC')}} "
                "settings mutations_sync = 2",
                parameters={"moment": moment},
            )
        clear(client, self.cache)
        upkeep(client, self.settings, self.cache)
        client.command(f"create database if not exists {_LOGS} engine = Atomic")
        now = client.query("select toString(now64(6))").result_rows[0][0]
        client.command(
            f"create or replace view {_LOGS}.query_log as select * from system.query_log "
            f"where event_time_microseconds > toDateTime64({literal(now)}, 6)"
        )
        return Logs(_LOGS)
