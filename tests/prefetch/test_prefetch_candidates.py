"""From what was asked to what may be asked soon, and what came of it."""

from __future__ import annotations

import json
import os
import signal
from datetime import datetime, timedelta
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from tests.conftest import Engine
from tests.support import named_shop
from tests.support.cleaning import drop_everything, forget_queries
from tests.support.house import dbt
from tests.support.named_shop import DRILLED, GIVEN, OPENED, SHOP
from treehouse.cli.main import app
from treehouse.clickhouse.client import identifier
from treehouse.fit.train import train
from treehouse.platform.prefetch.config import Prefetch
from treehouse.platform.prefetch.plan import Candidate, candidates
from treehouse.platform.prefetch.run import Done, run_pass
from treehouse.platform.query_log.calls import Call, calls_of
from treehouse.platform.query_log.collect import collect
from treehouse.platform.result_cache.config import ResultCache
from treehouse.registry.promotions import promote
from treehouse.registry.publish import publish
from treehouse.spec import load_spec

pytestmark = pytest.mark.slow

_SESSIONS = 40
_OPEN = "open"


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("embedded", marks=pytest.mark.embedded),
        pytest.param("server", marks=(pytest.mark.server, pytest.mark.slow)),
    ],
)
def fresh(request: pytest.FixtureRequest) -> Engine:
    """Each engine in turn, without anything of Treehouse's; models take their time."""
    place: Engine
    if request.param == "server":
        place = request.getfixturevalue("server")
        forget_queries(request.getfixturevalue("server").admin)
    else:
        place = Engine(request.getfixturevalue("settings"), request.getfixturevalue("client"))
        forget_queries(place.client)
    drop_everything(place.client)
    return place


@pytest.fixture(scope="module")
def cache(fresh: Engine) -> ResultCache:
    """Sessions that open a dashboard, drill down after a while, and go; the last one only opened.

    They are collected, with copies from the days before, and the models are built.
    """
    cache = named_shop.open_named_shop(fresh.client, fresh.settings)
    begin, stay = datetime(2026, 6, 2, 9), timedelta(minutes=25)
    for number in range(_SESSIONS - 1):
        at = begin + timedelta(minutes=2 * number)
        _open_page(fresh, at, f"s{number}", OPENED)
        _open_page(fresh, at + stay, f"s{number}", DRILLED)
    _open_page(fresh, at + stay + timedelta(minutes=1), _OPEN, OPENED)
    collect(fresh.client, fresh.settings)
    queries = f"{identifier(fresh.settings.raw_database)}.engine_queries"
    fresh.client.command(
        f"insert into {queries} select * replace(log_id + day as log_id, session_key + day as "
        "session_key, event_at - toIntervalDay(day) as event_at, logged_at - toIntervalDay(day) as "
        f"logged_at) from {queries} array join range(1, 15) as day where dashboard = 'sales'"
    )
    folders = [f"+path:models/{name}" for name in ("next_query", "cache_admission", "prefetch")]
    # Queries of three rows save next to nothing.
    variables = yaml.safe_dump({"result_cache": GIVEN, "next_query_least_saved_ms": 0})
    dbt(fresh.settings, "run", "--select", *folders, "--vars", variables)
    return cache


@pytest.fixture(scope="module")
def promoted(fresh: Engine, cache: ResultCache) -> ResultCache:
    """The same, and next_query answers."""
    train(fresh.client, fresh.settings, load_spec("next_query"))
    version, _ = publish(fresh.client, fresh.settings, "next_query", force="of a test")
    promote(fresh.client, fresh.settings, "next_query", version.version, "test")
    return cache


def _open_page(engine: Engine, at: datetime, session: str, arguments: dict[str, str]) -> None:
    for panel, name in enumerate(("total", "by_country")):
        named_shop.ask(
            engine.client, name, arguments,
            at=str(at + timedelta(milliseconds=50 * panel)), user=session, session=session,
            dashboard="sales", panel=name,
        )  # fmt: skip


def _found(engine: Engine, cache: ResultCache) -> dict[tuple[str, bool], Candidate]:
    """Candidates by name, and whether they are drilled down."""
    found = candidates(engine.client, engine.settings, cache, Prefetch())
    return {(one.query.name, one.arguments == DRILLED): one for one in found}


def _rows(engine: Engine, sql: str) -> Any:
    return engine.client.query(sql.format(db=identifier(engine.settings.database))).result_rows


def test_calls_are_kept_without_their_values(fresh: Engine, cache: ResultCache) -> None:
    raw = identifier(fresh.settings.raw_database)
    rows = fresh.client.query(
        f"select name, count(), uniq(arguments), any(mapKeys(arguments)) from {raw}.engine_calls "
        "where name in {names:Array(String)} group by name order by name",
        parameters={"names": list(cache.queries)},
    ).result_rows
    keys = ["country", "since"]
    assert rows == [("by_country", 2, 2, keys), ("total", 2, 2, keys)]
    text = str(fresh.client.query(f"select * from {raw}.engine_calls").result_rows)
    assert "JP" not in text
    assert "2026-06-01" not in text
    calls = _rows(fresh, "select count(), uniq(sequence_key) from {db}.prefetch_calls")
    assert calls == [(4 * _SESSIONS - 2, _SESSIONS)]


def test_what_is_asked_again_and_again_is_a_candidate(fresh: Engine, cache: ResultCache) -> None:
    """Before anything is promoted it is the pace that counts: 40 times in 100 minutes."""
    found = _found(fresh, cache)
    assert len(found) == 4
    assert {one.query.name for one in found.values()} == set(cache.queries)
    for one in found.values():
        assert one.arguments in (OPENED, DRILLED)
        assert 0.95 < one.share <= 1
        assert one.run_ms > 0
    shares = _rows(fresh, "select max(session_share) from {db}.prefetch_candidates")
    assert shares == [(0.0,)]


def test_open_sessions_are_foreseen_with_their_arguments(
    fresh: Engine, promoted: ResultCache
) -> None:
    """The open session goes on to what others went on to, and not to what it has."""
    ahead = _rows(fresh, "select count(), min(share), max(share) from {db}.next_query_ahead")
    assert ahead[0][0] >= 2
    assert 0 < ahead[0][1] <= ahead[0][2] <= 1
    shares = dict(_rows(
        fresh,
        "select arguments, max(session_share) from (select toString(arguments) as arguments, "
        "session_share from {db}.prefetch_candidates) group by arguments",
    ))  # fmt: skip
    found = _found(fresh, promoted)
    assert len(shares) == 2
    assert min(shares.values()) < 0.1 < 0.4 < max(shares.values())
    assert found["total", True].share >= max(shares.values())


def test_a_pass_keeps_answers_and_the_log_tells_who_read_them(
    fresh: Engine, promoted: ResultCache
) -> None:
    done: Done = run_pass(fresh.client, fresh.settings, promoted, Prefetch())
    assert {row["state"] for row in done.rows} == {"stored"}
    assert len(done.rows) == len(done.planned) == 4
    assert run_pass(fresh.client, fresh.settings, promoted, Prefetch()).rows == []
    fresh.client.command(f"insert into {SHOP}.orders select '2026-06-02 00:00:00', 'JP'")
    at = datetime(2026, 6, 2, 10, 50)
    _open_page(fresh, at, _OPEN, DRILLED)
    collect(fresh.client, fresh.settings)
    rows = _rows(
        fresh,
        "select name, outcome, times_read, saved_ms >= 0, cost_ms > 0, wasted_ms = 0, answer_rows "
        "from {db}.prefetch_answers order by outcome, name, answer_rows desc",
    )
    assert rows == [
        ("total", "read", 1, 1, 1, 1, 1),
        ("by_country", "unknown", 0, 1, 1, 1, 0),  # of an empty answer
        ("by_country", "waits", 0, 1, 1, 1, 1),
        ("total", "waits", 0, 1, 1, 1, 1),
    ]
    told = CliRunner().invoke(app, ["--target", fresh.target, "prefetch", "log", "--json"])
    assert told.exit_code == 0, told.output
    assert sorted(row["outcome"] for row in json.loads(told.stdout)) == [row[1] for row in rows]


def test_commands(fresh: Engine, promoted: ResultCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ResultCache, "configured", lambda: promoted)
    before = signal.getsignal(signal.SIGTERM)

    def prefetch(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["--target", fresh.target, "prefetch", *arguments])
        assert done.exit_code == 0, done.output
        return done.stdout

    planned = json.loads(prefetch("--json"))
    assert {row["decision"] for row in planned} <= {"is still fresh", "too unlikely", "prefetch"}
    assert "is still fresh" in prefetch()
    assert isinstance(json.loads(prefetch("--yes", "--json")), list)
    passes = []

    def last_one(*arguments: Any) -> Done:
        passes.append(len(passes))
        if len(passes) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return run_pass(*arguments)

    monkeypatch.setattr("treehouse.platform.prefetch.run.run_pass", last_one)
    lines = prefetch("--every", "0.01", "--json").splitlines()
    assert [json.loads(line)["renewed"] >= 0 for line in lines] == [True, True]
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("select * from r.v(a='x', b=-5)", [Call("v", {"a": "x", "b": "-5"})]),
        ("select * from `r.v`(a = 'it''s')", [Call("v", {"a": "it's"})]),
        ("with x as (select 1 from r.v(a='x')) select * from x, r.w",
         [Call("v", {"a": "x"}), Call("w", {})]),
        ("select * from r.v(a=toDate('2026-06-01'))", []),
        ("select * from other.v(a='x')", []),
        ("select ( from r.v", []),
    ],
)  # fmt: skip
def test_calls_in_a_text(text: str, found: list[Call]) -> None:
    assert sorted(calls_of(text, "r"), key=lambda call: call.name) == found
