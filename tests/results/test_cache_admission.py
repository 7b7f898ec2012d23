"""The model of cache admission: it sees no future, and its decisions keep to what owners allow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sqlglot
from sqlglot import exp

from tests.conftest import Engine
from tests.support.house import dbt
from tests.support.query_log import fill_query_log
from tests.support.some import some
from treehouse.clickhouse.client import identifier
from treehouse.fit.train import train
from treehouse.platform.replay.admission import replay
from treehouse.platform.replay.admission_trace import read_asked
from treehouse.platform.replay.cache_result_store import Filled
from treehouse.platform.result_cache.config import ResultCache
from treehouse.platform.result_cache.fill import make_plan
from treehouse.project.contract import load_contract
from treehouse.registry.promotions import promote
from treehouse.registry.publish import publish
from treehouse.spec import load_spec

_QUERIES, _DISTINCT, _HOURS = 6_000, 300, 72
_BUILD = ("--select", "+path:models/cache_admission")
_FEATURES = ", ".join(identifier(f.name) for f in load_contract("cache_admission").features)


@pytest.fixture(scope="module")
def built(fresh: Engine) -> Engine:
    """Features and training set of a log of three days, with dbt's own tests; nothing promoted."""
    fill_query_log(fresh.client, fresh.settings, queries=_QUERIES, distinct=_DISTINCT, hours=_HOURS)
    dbt(fresh.settings, "build", *_BUILD)
    return fresh


@pytest.fixture(scope="module")
def promoted(built: Engine) -> Engine:
    """The same with a version that answers."""
    spec = load_spec("cache_admission")
    few = replace(spec, boosting=replace(spec.boosting, trees=30, patience=10))
    train(built.client, built.settings, few)
    version, parity = publish(
        built.client, built.settings, "cache_admission", force="few trees need not be good"
    )
    assert parity.different == 0
    promote(built.client, built.settings, "cache_admission", version.version)
    return built


def _rows(engine: Engine, sql: str) -> Any:
    database = identifier(engine.settings.database)
    return engine.client.query(sql.replace("{db}", database)).result_rows


def test_only_named_tables_are_learned_from(built: Engine) -> None:
    assert _rows(built, "select distinct tables from {db}.cache_admission_features") == [
        (["treehouse_workload.orders"],)
    ]
    counted = "select countIf(dashboard = ''), uniq(dashboard) from {db}.cache_admission_features"
    analysts, dashboards = _rows(built, counted)[0]
    assert analysts > 100
    assert dashboards == 2
    every = _rows(built, "select count() from {db}.stg_queries")[0][0]
    assert 0 < _rows(built, "select count() from {db}.cache_admission_features")[0][0] < every


def test_labels_are_what_came_next(built: Engine) -> None:
    """Against a plain self-join: tables are written at each full hour, a pass is a minute before,
    and 900 seconds are allowed."""
    *wrong, count = _rows(
        built,
        """
        select countIf(found != is_reused), countIf(abs(life - ttl_seconds) > 0.001),
            countIf(abs(least(life, again) - kept_seconds) > 0.001), count()
        from (
            select
                now.log_id as log_id,
                any(now.is_reused) as is_reused,
                any(now.ttl_seconds) as ttl_seconds,
                any(now.kept_seconds) as kept_seconds,
                any(now.life_of_row) as life,
                minIf(
                    dateDiff('microsecond', now.event_at, later.event_at) / 1e6,
                    later.event_at > now.event_at
                ) as nearest,
                if(nearest > 0, nearest, 1e9) as again,
                again <= life as found
            from (
                select
                    *,
                    (3600000000 - toUnixTimestamp64Micro(event_at) % 3600000000) % 3600000000 / 1e6
                        as to_hour,
                    900 + greatest(0, to_hour - 60) as life_of_row
                from {db}.cache_admission_training_set
            ) as now
            inner join {db}.cache_admission_features as later on later.result_key = now.result_key
            group by log_id
        )
        """,
    )[0]
    assert wrong == [0, 0, 0]
    assert count > 1000


def test_parts_are_apart_in_time(built: Engine) -> None:
    rows = _rows(
        built,
        "select split, min(event_at), max(label_known_at), count() "
        "from {db}.cache_admission_training_set group by split order by 2",
    )
    parts = {split: (begin, known) for split, begin, known, _ in rows}
    assert set(parts) >= {"train", "validation", "calibration", "test"}
    assert parts["train"][1] <= min(parts["validation"][0], parts["calibration"][0])
    assert max(parts["validation"][1], parts["calibration"][1]) <= parts["test"][0]


def test_nothing_is_admitted_before_a_promotion(built: Engine) -> None:
    decisions = "select max(model_version), countIf(admit), count() > 0"
    assert _rows(built, f"{decisions} from {{db}}.cache_admission_decisions") == [(0, 0, True)]
    assert _rows(built, "select count() from {db}.cache_policy") == [(0,)]


def test_no_answer_is_kept_for_longer_than_is_allowed(promoted: Engine) -> None:
    admitted, too_long, refused = _rows(
        promoted,
        f"""
        select countIf(d.admit), countIf(d.ttl_seconds > allowed_stale_seconds),
            countIf(d.admit and (is_deterministic = 0 or result_bytes > 10000000))
        from (select *, cache_decision({_FEATURES}) as d from {{db}}.cache_admission_features)
        """,
    )[0]
    assert admitted > 0
    assert (too_long, refused) == (0, 0)
    low = _FEATURES.replace("`allowed_stale_seconds`", "7.").replace("allowed_stale_seconds", "7.")
    assert _rows(
        promoted,
        f"select max(cache_decision({low}).ttl_seconds) from {{db}}.cache_admission_features",
    ) == [(7,)]


def test_a_panel_is_kept_by_what_was_decided_for_its_requests(promoted: Engine) -> None:
    """From the model's answers to the store: panels of the log, a named query, its plan."""
    given = {
        "tables": {"treehouse_workload.orders": 900},
        "queries": {
            name: {"sql": "select 1 as n from treehouse_workload.orders", "dashboard": dashboard,
                   "panel": "panel_1"}
            for name, dashboard in (("known", "sales"), ("unknown", "nobodys"))
        },
    }  # fmt: skip
    plan = make_plan(promoted.client, promoted.settings, ResultCache.configured(given))
    admit, ttl_seconds = _rows(
        promoted,
        "select admit, ttl_seconds from {db}.cache_admission_panels where panel = 'panel_1'",
    )[0]
    assert plan[0].admit == admit
    assert plan[0].ttl_seconds == ttl_seconds <= 900
    assert (plan[1].admit, plan[1].ttl_seconds) == (False, 0)


def test_settings_of_the_native_cache_parse(promoted: Engine) -> None:
    rows = _rows(promoted, "select cache_settings, ttl_seconds from {db}.cache_policy limit 20")
    assert rows
    for settings, ttl in rows:
        tree = sqlglot.parse_one(f"select 1 settings {settings}", read="clickhouse")
        found = {
            e.this.name: e.expression.name for e in tree.args["settings"] if isinstance(e, exp.EQ)
        }
        assert found["use_query_cache"] == "1"
        assert found["query_cache_ttl"] == str(ttl)
        promoted.client.query(f"select 1 settings {settings}")


def test_the_replay_knows_lives_as_the_labels_do(promoted: Engine) -> None:
    asked = read_asked(promoted.client, promoted.settings)
    trace, store = asked.trace, Filled(asked, 1, (0.3, 0.3))
    columns = (trace.entry.tolist(), trace.time.tolist(), asked.allowed.tolist())
    lives = [store.life(*row) for row in zip(*columns, strict=True)]
    assert trace.ends is not None
    np.testing.assert_allclose([life[2] for life in lives], trace.ends, rtol=0, atol=1e-5)


def test_the_replay_judges_later_queries(promoted: Engine) -> None:
    asked = read_asked(promoted.client, promoted.settings)
    result = replay(asked, 1.0)
    assert 0 < result["judged"] < result["queries"]
    assert result["version"] > 0
    rows = {row["policy"]: row for row in result["policies"]}
    assert rows["no cache"]["hit_rate"] == 0
    ours = rows["cache_admission for hits, renewed"]
    assert 0 < ours["hit_rate"] <= rows["clairvoyant, renewed"]["hit_rate"]
    assert rows["cache_admission for seconds, kept ahead"]["ahead"] > 0
    bounded = [row["too_stale"] for name, row in rows.items() if "ttl" not in name]
    assert all(too_stale == 0 for too_stale in some(bounded))
