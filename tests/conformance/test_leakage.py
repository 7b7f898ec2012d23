"""No feature knows the future, no label is half known, and no part of a split sees a later one.

The sources are built with the rows before a moment and then again with those after it, among them
one more row for everybody a second after the moment. What the first build said must still hold.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Engine
from tests.support.future import (
    STAGES,
    Pool,
    changed_columns,
    empty_sources,
    keep,
    make_pools,
    run_stages,
)
from tests.support.house import copy_project, dbt
from training.engine import identifier
from training.settings import ROOT
from training.spec import Spec, specs

# Each reads one day too many: (use case, what leaks, file, text, text that leaks).
_LEAKS = (
    (
        "ltv",
        "features",
        "ltv/ltv_features.sql",
        "installs.install_day + {{ last_day }}",
        "installs.install_day + {{ last_day }} + 1",
    ),
    (
        "ltv",
        "training_set",
        "ltv/ltv_observation.sql",
        "{{ var('ltv_horizon_days') }} + 1",
        "{{ var('ltv_horizon_days') }} + 2",
    ),
    (
        "purchase_value",
        "features",
        "purchase_value/purchase_value_features.sql",
        "visits.purchase_day < snapshots.as_of",
        "visits.purchase_day <= snapshots.as_of",
    ),
)


@pytest.fixture(scope="module")
def leaky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with those leaks."""
    project = copy_project(tmp_path_factory.mktemp("projects") / "leaky")
    for _, _, file, honest, wrong in _LEAKS:
        path = project / "models" / file
        assert path.read_text().count(honest) == 1, file
        path.write_text(path.read_text().replace(honest, wrong))
    return project


@pytest.fixture(scope="module")
def pools(fresh: Engine) -> list[Pool]:
    """Everything that the demos load, apart from the sources."""
    return make_pools(fresh.client, fresh.settings)


@pytest.fixture(scope="module")
def staged(fresh: Engine, pools: list[Pool], leaky: Path) -> Engine:
    """Features and training sets of each stage, kept for the honest project and the leaky one."""

    def build(stage: int) -> None:
        for project in (leaky, ROOT):
            dbt(fresh.settings, "run", project=project)
            who = "honest" if project == ROOT else "leaky"
            for use_case in specs():
                for part in ("features", "training_set"):
                    table = f"{use_case}_{part}"
                    keep(fresh.client, fresh.settings, f"{who}_{table}_{stage}", table)

    dbt(fresh.settings, "run-operation", "create_state")
    run_stages(fresh.client, fresh.settings, pools, build)
    return fresh


@pytest.mark.parametrize("stage", range(1, STAGES))
def test_features_do_not_know_the_future(staged: Engine, spec: Spec, stage: int) -> None:
    changed, compared = _compare(staged, spec, "honest", "features", stage)
    assert changed == {}
    assert compared > 0.5


@pytest.mark.parametrize("stage", range(1, STAGES))
def test_labels_are_mature(staged: Engine, spec: Spec, stage: int) -> None:
    changed, compared = _compare(staged, spec, "honest", "training_set", stage)
    assert changed == {}
    assert compared == 1.0


@pytest.mark.parametrize(("use_case", "part"), [leak[:2] for leak in _LEAKS])
def test_a_leak_is_found(staged: Engine, use_case: str, part: str) -> None:
    spec = specs()[use_case]
    found = [_compare(staged, spec, "leaky", part, stage)[0] for stage in range(1, STAGES)]
    assert any(found)


def test_splits_are_in_order_of_time(staged: Engine, spec: Spec) -> None:
    time = identifier(spec.contract.time)
    train_ends, choice_begins, choice_ends, test_begins = staged.client.query(
        f"select maxIf({time}, split = 'train'), "
        f"minIf({time}, split in ('validation', 'calibration')), "
        f"maxIf({time}, split in ('validation', 'calibration')), minIf({time}, split = 'test') "
        f"from {_training_set(staged, spec)}"
    ).result_rows[0]
    assert train_ends < choice_begins <= choice_ends < test_begins


def test_no_label_reaches_into_a_later_part(
    staged: Engine, pools: list[Pool], spec: Spec
) -> None:
    """Who is in two parts: what comes from the later part's first day on changes no label."""
    client, contract = staged.client, spec.contract
    keys = ", ".join(map(identifier, contract.keys))
    whole = f"{spec.use_case}_whole"
    keep(client, staged.settings, whole, f"{spec.use_case}_training_set")
    parts = ((("train",), ("validation", "calibration")), (("validation", "calibration"), ("test",)))
    for n, (early, late) in enumerate(parts):
        shared, begins = client.query(
            f"select countIf(split in {early!r} and key in "
            f"(select ({keys}) from treehouse_stages.{whole} where split in {late!r})), "
            f"toString(toDateTime64(minIf({identifier(contract.time)}, split in {late!r}), 3, 'UTC')) "
            f"from (select *, ({keys}) as key from treehouse_stages.{whole})"
        ).result_rows[0]
        if not shared:
            continue
        empty_sources(client, staged.settings)
        pool = next(p for p in pools if spec.use_case in _use_cases(p))
        pool.move(client, staged.settings, None, f"toDateTime64('{begins}', 3, 'UTC')")
        dbt(staged.settings, "run", "--full-refresh", "--select", f"+{spec.use_case}_training_set")
        keep(client, staged.settings, f"{whole}_{n}", f"{spec.use_case}_training_set")
