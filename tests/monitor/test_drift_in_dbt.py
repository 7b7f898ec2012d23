"""drift() in a model of one's own, and as a test with a severity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from clickhouse_connect.driver.client import Client

from tests.conftest import Engine
from tests.monitor.conftest import Watched
from tests.support.cleaning import drop_everything
from tests.support.house import copy_project, dbt, run_dbt
from tests.support.small_bundle import USE_CASE
from treehouse.project.settings import Settings

pytestmark = pytest.mark.slow

TESTS = ("certain", "told", "of_all")


@pytest.fixture(scope="module")
def fresh(settings: Settings, client: Client) -> Engine:
    """The embedded engine alone: the SQL is that of the monitor."""
    drop_everything(client)
    return Engine(settings, client)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with a model that measures, and a test on the features."""
    folder = copy_project(tmp_path_factory.mktemp("project"))
    models = folder / "models" / USE_CASE
    (models / "drift_now.sql").write_text(f"select * from ({{{{ drift('{USE_CASE}') }}}})\n")
    path = models / f"{USE_CASE}.yml"
    document = yaml.safe_load(path.read_text())
    for model in document["models"]:
        if model["name"] == f"{USE_CASE}_features":
            arguments: dict[str, Any] = {"use_case": USE_CASE}
            model["data_tests"] = [
                {"no_drift": {"name": "certain", "arguments": arguments}},
                {"no_drift": {"name": "told", "arguments": arguments,
                              "config": {"severity": "warn"}}},
                {"no_drift": {"name": "of_all", "arguments": arguments | {"all_rows": True}}},
            ]  # fmt: skip
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return folder


def outcomes(settings: Settings, project: Path) -> dict[str, str]:
    """Status of each test by its name."""
    done = run_dbt(settings, "test", "--select", *TESTS, project=project)
    return {r.node.name: str(r.status) for r in done.result if r.node.name in TESTS}


def test_drift_is_a_relation_and_a_test(watched: Watched, project: Path) -> None:
    settings, client = watched.engine.settings, watched.engine.client
    dbt(settings, "run", "--select", "drift_now", project=project)
    names = client.query("select name from treehouse.drift_now where psi > 0.2").result_rows
    assert names == []
    assert outcomes(settings, project) == {"certain": "pass", "told": "pass", "of_all": "pass"}
    watched.drifted("amount_3m")
    names = client.query("select name from treehouse.drift_now where psi > 0.2").result_rows
    assert names == [("amount_3m",)]
    assert outcomes(settings, project) == {"certain": "fail", "told": "warn", "of_all": "fail"}
