"""The arms of `bench prefetch`: what each does in a pass, beside people who ask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from treehouse.clickhouse.client import identifier
from treehouse.platform.prefetch.config import Prefetch
from treehouse.platform.prefetch.plan import TAKEN, Candidate, candidates, make_plan
from treehouse.platform.prefetch.run import ask
from treehouse.platform.query_log.calls import calls_of
from treehouse.platform.query_log.collect import collect
from treehouse.platform.query_log.logs import Logs
from treehouse.platform.result_cache.config import ResultCache
from treehouse.platform.result_cache.fill import fill, upkeep
from treehouse.simulation.shop.plan import Request

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings


@dataclass(frozen=True)
class Scene:
    """What an arm has to do with.

    Attributes:
        settings, cache, limits: Of the store and of a pass; seconds are those of the bench.
        logs: Of this arm alone.
        requests: What people will ask, which only foresight may look at.
        pass_seconds: Simulated time between two passes.
    """

    settings: Settings
    cache: ResultCache
    limits: Prefetch
    logs: Logs
    requests: Sequence[Request]
    pass_seconds: float


Arm = Callable[["Client", Scene, datetime], object]


def keep_ahead(client: Client, scene: Scene, _: datetime) -> None:
    """`cache fill`: each dashboard as it opens, where cache_admission says so."""
    fill(client, scene.settings, scene.cache)


def _of_model(model: str) -> Arm:
    def ask_ahead(client: Client, scene: Scene, _: datetime) -> None:
        collect(client, scene.settings, logs=scene.logs)
        found = candidates(client, scene.settings, scene.cache, scene.limits, model)
        _ask(client, scene, found)

    return ask_ahead


def foresee(client: Client, scene: Scene, now: datetime) -> None:
    """What will be asked before the pass after the next has ended."""
    until = now + timedelta(seconds=2 * scene.pass_seconds)
    calls = {
        (call.name, *sorted(call.arguments.items())): call
        for request in scene.requests
        if now <= request.at < until
        for call in calls_of(request.sql, scene.cache.database)
    }
    found = [
        Candidate(scene.cache.queries[call.name], call.arguments, 1.0, 1.0, 1.0, 0.0)
        for call in reversed(calls.values())
    ]
    _ask(client, scene, found)


def _ask(client: Client, scene: Scene, found: Sequence[Candidate]) -> None:
    upkeep(client, scene.settings, scene.cache)
    planned = make_plan(client, scene.cache, scene.limits, found)
    wanted = [one.wanted for one in planned if one.decision == TAKEN]
    ask(client, scene.settings, scene.cache, scene.limits, wanted)


ARMS: dict[str, Arm | None] = {
    "nothing kept": None,
    "cache fill": keep_ahead,
    "asked most recently": _of_model("bench_recent"),
    "prefetch": _of_model("prefetch_candidates"),
    "foresight": foresee,
}


def create_rules(client: Client, settings: Settings) -> None:
    """The rules beside the model, as views like prefetch_candidates."""
    database = identifier(settings.database)
    client.command(
        f"create or replace view {database}.bench_recent as "
        "select name, arguments, 1 / (1 + min(seconds_ago)) as share, median(c.run_ms) as run_ms, "
        "median(c.read_bytes) as run_bytes, share * run_ms as saved_ms, 'prefetch' as decision "
        f"from {database}.prefetch_calls as c group by name, arguments"
    )
