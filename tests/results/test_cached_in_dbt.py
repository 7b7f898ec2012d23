"""`{{ cached('name') }}` in a model, and the commands, which show before they do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Cli, Engine
from tests.support.house import copy_project, dbt
from training.results.config import ResultCache
from training.results.store import Entry, clear, fill
from training.workload.plan import START
from training.workload.shop import DATABASE, create_shop

_MODEL = "select country, n from {{ cached('sales_by_country') }}"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with one more model, which reads a kept answer."""
    folder = copy_project(tmp_path_factory.mktemp("projects") / "cached")
    (folder / "models" / "by_country.sql").write_text(_MODEL)
    return folder


def test_a_model_reads_the_kept_answer_and_falls_back(fresh: Engine, project: Path) -> None:
    client, settings = fresh.client, fresh.settings
    cache = ResultCache.configured()
    create_shop(client, START)

    def total() -> int:
        dbt(settings, "run", "--select", "by_country", project=project)
        return int(
            client.query(f"select sum(n) from {settings.database}.by_country").result_rows[0][0]
        )

    before = total()  # nothing was ever kept: the query itself
    entry = Entry(cache.queries["sales_by_country"], True, 600.0, "", 0.0)
    assert fill(client, settings, cache, [entry])[0]["state"] == "stored"
    client.command(f"insert into {DATABASE}.orders select * from {DATABASE}.orders limit 100")
    assert total() == before
    clear(client, settings, cache)
    assert total() == before + 100
    text = client.query(f"show create view {settings.database}.by_country").result_rows[0][0]
    assert f"{cache.database}.sales_by_country" in text.replace("`", "")


def test_commands_show_before_they_do(run_cli: Cli, tmp_path: Path) -> None:
    home = tmp_path / "home"
    for command in ("plan", "fill"):
        rows = json.loads(run_cli("cache", command, "--json", home=home).stdout)
        assert {row["name"] for row in rows} == {"sales_by_country", "traffic_by_page"}
        assert not any(row["admit"] for row in rows)
    assert json.loads(run_cli("cache", "undo", "--yes", "--json", home=home).stdout) == []
    assert json.loads(run_cli("cache", "log", "--json", home=home).stdout) == []
    refused = run_cli("replay", "admission", "--capacity", "0.5", home=home, check=False)
    assert refused.returncode == 2
