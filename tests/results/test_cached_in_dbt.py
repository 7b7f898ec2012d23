"""`{{ cached('name') }}` in a model, and the commands, which show before they do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Cli, Engine
from tests.support.house import copy_project, dbt
from treehouse.platform.result_cache.config import ResultCache
from treehouse.platform.result_cache.fill import clear, make_plan
from treehouse.platform.result_cache.keep import Wanted, keep
from treehouse.simulation.shop.plan import START
from treehouse.simulation.shop.shop import DATABASE, create_shop

pytestmark = pytest.mark.slow

_MODEL = "select country, n from {{ cached('sales_by_country') }}"
_SINCE = "2026-05-30 00:00:00"
_WITH_ARGUMENTS = f"select page, n from {{{{ cached('traffic_by_page', since='{_SINCE}') }}}}"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with one more model, which reads a kept answer."""
    folder = copy_project(tmp_path_factory.mktemp("projects") / "cached")
    (folder / "models" / "by_country.sql").write_text(_MODEL)
    (folder / "models" / "by_page.sql").write_text(_WITH_ARGUMENTS)
    return folder


@pytest.mark.parametrize(
    ("model", "name", "arguments", "table"),
    [
        ("by_country", "sales_by_country", {}, "orders"),
        ("by_page", "traffic_by_page", {"since": _SINCE}, "visits"),
    ],
)
def test_a_model_reads_the_kept_answer_and_falls_back(
    fresh: Engine, project: Path, model: str, name: str, arguments: dict[str, str], table: str
) -> None:
    client, settings = fresh.client, fresh.settings
    cache = ResultCache.configured()
    create_shop(client, START)
    clear(client, cache)

    def total() -> int:
        dbt(settings, "run", "--select", model, project=project)
        return int(
            client.query(f"select sum(n) from {settings.database}.{model}").result_rows[0][0]
        )

    before = total()  # without an answer: the query itself
    wanted = Wanted(cache.queries[name], arguments, 600.0)
    assert keep(client, settings, cache, [wanted])[0]["state"] == "stored"
    client.command(
        f"insert into {DATABASE}.{table} select * from {DATABASE}.{table} "
        f"where at >= '{_SINCE}' limit 100"
    )
    assert total() == before
    clear(client, cache)
    assert total() == before + 100
    text = client.query(f"show create view {settings.database}.{model}").result_rows[0][0]
    assert f"{cache.database}.{name}" in text.replace("`", "")


def test_the_plan_lists_the_arguments_to_keep_ahead(fresh: Engine) -> None:
    create_shop(fresh.client, START)
    plan = make_plan(fresh.client, fresh.settings, ResultCache.configured())
    assert [(entry.query.name, dict(entry.arguments)) for entry in plan] == [
        ("sales_by_country", {}),
        ("traffic_by_page", {"since": "2026-05-30 00:00:00"}),
        ("traffic_by_page", {"since": "2026-05-24 00:00:00"}),
    ]


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
