"""No feature knows the future, and no label is half known.

The sources are built with the rows before a moment and then again with those after it, among them
one more row for everybody a second after the moment. What the first build said must still hold.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Engine
from tests.support.future import (
    STAGES,
    changed_columns,
    empty_sources,
    keep,
    make_pool,
    run_stages,
)
from tests.support.house import copy_project, dbt
from treehouse.ingest.sources import ensure_raw
from treehouse.project.settings import ROOT
from treehouse.spec import Spec

pytestmark = pytest.mark.slow

# Each reads one day, or one query, too many: (use case, what leaks, file, text, text that leaks).
_LEAKS = (
    (
        "ltv",
        "features",
        "models/ltv/ltv_features.sql",
        "installs.install_day + {{ last_day }}",
        "installs.install_day + {{ last_day }} + 1",
    ),
    (
        "ltv",
        "training_set",
        "models/ltv/ltv_observation.sql",
        "{{ var('ltv_horizon_days') }} + 1",
        "{{ var('ltv_horizon_days') }} + 2",
    ),
    (
        "purchase_value",
        "features",
        "models/purchase_value/purchase_value_features.sql",
        "visits.purchase_day < snapshots.as_of",
        "visits.purchase_day <= snapshots.as_of",
    ),
    (
        "next_query",
        "features",
        "macros/functions/next_query.sql",
        "{{ history }} preceding and current row",
        "{{ history }} preceding and 1 following",
    ),
    (
        "cache_admission",
        "features",
        "models/cache_admission/cache_admission_features.sql",
        "latest.written_at < reads.event_at",
        "latest.written_at < reads.event_at + toIntervalDay(1)",
    ),
    (
        "cache_admission",
        "training_set",
        "models/cache_admission/cache_admission_training_set.sql",
        "where event_at <= bounds.mature_until",
        "where event_at <= bounds.last_at",
    ),
)


@pytest.fixture(scope="module")
def leaky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with those leaks."""
    project = copy_project(tmp_path_factory.mktemp("projects") / "leaky")
    for _, _, file, honest, wrong in _LEAKS:
        path = project / file
        assert path.read_text().count(honest) == 1, file
        path.write_text(path.read_text().replace(honest, wrong))
    return project


@pytest.fixture(scope="module")
def staged(embedded: Engine, spec: Spec, leaky: Path) -> Engine:
    """Features and training set of each stage, kept for the honest project and a leaky one."""
    client, settings, use_case = embedded.client, embedded.settings, spec.use_case
    projects = {"leaky": leaky} if any(leak[0] == use_case for leak in _LEAKS) else {}

    def build(stage: int) -> None:
        for who, project in (projects | {"honest": ROOT}).items():
            dbt(settings, "run", "--select", f"+{use_case}_training_set", project=project)
            for part in ("features", "training_set"):
                table = f"{use_case}_{part}"
                keep(client, settings, f"{who}_{table}_{stage}", table)

    pool = make_pool(client, settings, spec)
    ensure_raw(client, settings)
    empty_sources(client, settings)
    run_stages(client, settings, pool, build)
    return embedded


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


def test_a_leak_is_found(staged: Engine, spec: Spec) -> None:
    """Where a copy of the project is made to leak, the comparison above shows it."""
    parts = [part for use_case, part, *_ in _LEAKS if use_case == spec.use_case]
    for part in parts:
        found = [_compare(staged, spec, "leaky", part, stage)[0] for stage in range(1, STAGES)]
        assert any(found), part


def _compare(
    staged: Engine, spec: Spec, who: str, part: str, stage: int
) -> tuple[dict[str, int], float]:
    """What the build of a stage changed in the rows that the one before it had."""
    columns = [feature.name for feature in spec.contract.features]
    if part == "training_set":
        columns = [spec.contract.label, *spec.also]
    table = f"{who}_{spec.use_case}_{part}"
    return changed_columns(
        staged.client, spec.contract, columns, (f"{table}_{stage - 1}", f"{table}_{stage}")
    )
