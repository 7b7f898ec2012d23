"""The commands as a user types them, before and after there is anything to watch."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import clickhouse_connect
import pytest
import urllib3

from tests.conftest import Cli
from tests.support.server import PASSWORD, USER, running_server
from tests.support.some import some
from treehouse.monitor.prometheus import handler_rule
from treehouse.project.settings import Settings


def test_an_empty_house_has_nothing_to_watch(run_cli: Cli, tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = run_cli("monitor", "--json", home=home)
    models = json.loads(done.stdout)["models"]
    assert {model["model"] for model in models} >= {"ltv", "purchase_value"}
    assert all("not built" in model["note"] for model in some(models))
    assert run_cli("alerts", "list", home=home).stdout == "No alerts.\n"
    refused = run_cli("alerts", "ack", "ltv/drift/country", home=home, check=False)
    assert refused.returncode == 2
    assert "no such alert" in refused.stderr
    refused = run_cli("metrics", home=home, check=False)
    assert refused.returncode == 2
    assert "build -s monitoring" in refused.stderr


def test_the_rule_for_a_server_is_a_configuration(run_cli: Cli, tmp_path: Path) -> None:
    text = run_cli("metrics", "--handler", home=tmp_path / "home").stdout
    rule = ElementTree.fromstring(text).find("http_handlers/rule")
    assert rule is not None
    assert "format Prometheus" in (rule.findtext("handler/query") or "")


@pytest.mark.slow
@pytest.mark.server
def test_a_server_serves_the_metrics_itself(settings: Settings, tmp_path: Path) -> None:
    rule = ElementTree.fromstring(handler_rule(settings)).find("http_handlers")
    assert rule is not None
    extra = ElementTree.tostring(rule, encoding="unicode")
    with running_server(tmp_path, extra, environment={}) as server:
        assert server.admin_url
        client = clickhouse_connect.get_client(dsn=server.admin_url)
        client.command("create database treehouse")
        client.command(
            "create view treehouse.prometheus_metrics as select 'm' as name, 1. as value, "
            """'Help' as help, 'gauge' as type, map('model', 'a "b"') as labels"""
        )
        client.close()
        port = server.url.rsplit(":", 1)[1]
        headers = {"X-ClickHouse-User": USER, "X-ClickHouse-Key": PASSWORD}
        with urllib3.PoolManager(headers=headers) as pool:
            answer = pool.request("GET", f"http://127.0.0.1:{port}/treehouse/metrics")
    assert answer.status == 200, answer.data
    assert answer.data.decode().splitlines()[:3] == [
        "# HELP m Help",
        "# TYPE m gauge",
        r'm{model="a \"b\""} 1',
    ]
