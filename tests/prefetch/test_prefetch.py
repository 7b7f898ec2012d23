"""Answers asked in advance: within the limits, logged, and of nobody who may not see the data."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from tests.conftest import Engine, RunningServer
from tests.support import named_shop
from tests.support.named_shop import DRILLED, OPENED, SHOP
from tests.support.server import READER_PASSWORD
from treehouse.clickhouse.client import connect, connect_reader
from treehouse.clickhouse.turns import BusyError, alone
from treehouse.platform.prefetch import run
from treehouse.platform.prefetch.config import Prefetch
from treehouse.platform.prefetch.plan import Candidate, make_plan
from treehouse.platform.result_cache.config import ResultCache
from treehouse.platform.result_cache.fill import history
from treehouse.project.errors import TreehouseError

_LIMITS = Prefetch()


@pytest.fixture
def cache(fresh: Engine) -> ResultCache:
    """The named queries of an empty store."""
    return named_shop.open_named_shop(fresh.client, fresh.settings)


def _candidates(cache: ResultCache) -> list[Candidate]:
    """Both queries as a dashboard opens and drilled into; the first is worth most."""
    return [
        Candidate(query, arguments, share, share * 1000, 1000.0, 1e6)
        for share, (query, arguments) in zip(
            (0.9, 0.8, 0.7, 0.6),
            ((q, a) for a in (OPENED, DRILLED) for q in cache.queries.values()),
            strict=True,
        )
    ]


def _ask(
    engine: Engine, cache: ResultCache, limits: Prefetch = _LIMITS, **options: Any
) -> list[dict[str, Any]]:
    planned = make_plan(engine.client, cache, limits, _candidates(cache))
    wanted = [one.wanted for one in planned if one.decision == "prefetch"]
    return run.ask(engine.client, engine.settings, cache, limits, wanted, **options)


def _decisions(engine: Engine, cache: ResultCache, limits: Prefetch = _LIMITS) -> list[str]:
    planned = make_plan(engine.client, cache, limits, _candidates(cache))
    return [one.decision for one in planned]


def test_what_was_asked_in_advance_is_read(fresh: Engine, cache: ResultCache) -> None:
    rows = _ask(fresh, cache, replace(_LIMITS, concurrency=2))
    assert [row["state"] for row in rows] == ["stored"] * 4
    fresh.client.command(f"insert into {SHOP}.orders select '2026-06-02 00:00:00', 'JP'")
    assert named_shop.ask(fresh.client, "total", OPENED) == [(3,)]
    assert named_shop.ask(fresh.client, "total", DRILLED) == [(0,)]
    assert {row["reason"] for row in history(fresh.client, cache, 10)} == {"prefetched"}
    assert _decisions(fresh, cache) == ["is still fresh"] * 4
    soon = replace(_LIMITS, pass_seconds=600)
    assert _decisions(fresh, cache, soon) == ["prefetch"] * 4


def test_a_plan_changes_nothing(fresh: Engine, cache: ResultCache) -> None:
    assert _decisions(fresh, cache) == ["prefetch"] * 4
    assert history(fresh.client, cache, 10) == []


@pytest.mark.parametrize("budget", [{"budget_seconds": 2.5}, {"budget_bytes": 2_500_000}])
def test_a_plan_keeps_to_its_budget(
    fresh: Engine, cache: ResultCache, budget: dict[str, Any]
) -> None:
    planned = make_plan(fresh.client, cache, replace(_LIMITS, **budget), _candidates(cache))
    assert [one.decision for one in planned] == ["prefetch"] * 2 + ["over the budget"] * 2
    assert [one.share for one in planned] == [0.9, 0.8, 0.7, 0.6]


def test_a_pass_keeps_to_its_budget_though_queries_take_longer(
    fresh: Engine, cache: ResultCache
) -> None:
    wanted = [one.wanted for one in _candidates(cache)]
    none_left = replace(_LIMITS, budget_seconds=0)
    rows = run.ask(fresh.client, fresh.settings, cache, none_left, wanted)
    assert {(row["state"], row["detail"]) for row in rows} == {("skipped", "the budget is used up")}
    assert len(rows) == 4
    assert history(fresh.client, cache, 10) == []


def test_a_busy_engine_is_left_alone(fresh: Engine, cache: ResultCache) -> None:
    quiet = run.others_running(fresh.client)  # the test server's own
    other = connect(fresh.settings)
    slow = "select sleepEachRow(0.1) from numbers(1000) settings max_block_size = 1"
    limits = replace(_LIMITS, most_running=quiet)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(other.query, slow)
        while not asked.done() and run.others_running(fresh.client) == quiet:
            time.sleep(0.01)
        rows = _ask(fresh, cache, limits)
        fresh.client.command(
            "kill query where startsWith(query, 'select sleepEachRow') sync"
        )  # however long the pass took
        with suppress(ClickHouseError):
            asked.result()
    other.close()
    assert {(row["state"], row["detail"]) for row in rows} == {
        ("skipped", f"{quiet + 1} queries of others run")
    }
    assert {row["state"] for row in _ask(fresh, cache, limits)} == {"stored"}


def test_a_pass_ends_when_told(fresh: Engine, cache: ResultCache) -> None:
    stop = threading.Event()
    rows = _ask(fresh, cache, stop=stop, progress=lambda *_: stop.set())
    assert [row["state"] for row in rows] == ["stored", *["skipped"] * 3]


def test_a_query_that_fails_is_logged_and_the_others_go_on(
    fresh: Engine, cache: ResultCache
) -> None:
    bad = replace(_candidates(cache)[0], arguments={"since": "no date", "country": ""})
    wanted = [bad.wanted, *(one.wanted for one in _candidates(cache))]
    rows = run.ask(fresh.client, fresh.settings, cache, _LIMITS, wanted)
    assert [row["state"] for row in rows] == ["failed", *["stored"] * 4]
    assert "no date" in rows[0]["detail"]
    assert sum(row["state"] == "failed" for row in history(fresh.client, cache, 10)) == 1
    planned = make_plan(fresh.client, cache, _LIMITS, [bad])
    assert planned[0].decision == "its arguments do not fit its parameters"


def test_two_passes_do_not_overlap(fresh: Engine, cache: ResultCache) -> None:
    with (
        alone(fresh.client, fresh.settings, f"prefetch into {cache.database}"),
        pytest.raises(BusyError, match="Only one at a time: prefetch"),
    ):
        run.run_pass(fresh.client, fresh.settings, cache, _LIMITS)


@pytest.mark.parametrize("given", [{"concurrency": 0}, {"budget_seconds": -1}, {"threads": "all"}])
def test_limits_that_are_none_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(TreehouseError, match="can't be used"):
        Prefetch.configured(given)
    assert Prefetch.configured({"budget_bytes": "1MiB"}).budget_bytes == 2**20


@pytest.mark.server
def test_who_has_no_right_to_the_data_never_reads_it(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer is asked as its dashboard's user; for one without the right there is none."""
    cache = named_shop.open_named_shop(server.client, server.settings)
    query = cache.queries["total"]
    for name in ("BOARD", "OUTSIDER"):
        monkeypatch.setenv(f"CLICKHOUSE_PASSWORD_{name}", READER_PASSWORD)
    found = [Candidate(replace(query, user=user), OPENED, 0.9, 900.0, 1000.0, 0.0)
             for user in ("outsider", "board")]  # fmt: skip
    states = {}
    for one in found:  # each as the configuration of a dashboard with that user
        of_user = replace(cache, queries={"total": one.query})
        row = run.ask(server.client, server.settings, of_user, _LIMITS, [one.wanted])[0]
        states[one.query.user] = row["state"], row["detail"] or ""
    assert states["board"] == ("stored", "")
    assert states["outsider"][0] == "failed"
    assert "privileges" in states["outsider"][1]
    board, outsider = (connect_reader(server.settings, user) for user in ("board", "outsider"))
    assert named_shop.ask(board, "total", OPENED) == [(3,)]
    with pytest.raises(ClickHouseError, match="privileges"):
        named_shop.ask(outsider, "total", OPENED)
    for client in (board, outsider):
        client.close()
