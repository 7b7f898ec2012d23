"""The commands that bring data in hand over what they were told, and say what came of it."""

from __future__ import annotations

import json
from contextlib import nullcontext
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.conftest import Cli
from treehouse.cli.main import app
from treehouse.ingest.load import LoadReport
from treehouse.ingest.reading import Reading, read_mapping, read_preset
from treehouse.ingest.sources import read_sources
from treehouse.project.settings import Settings

REPORT = LoadReport(
    "id", "purchases", "x.csv", 10, 7, 2, 1, 0.5,
    reasons={"quantity.rule": 2}, said={"event_at: read as seconds since 1970": 1000},
)  # fmt: skip


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the loader and the simulator were told; neither does anything."""
    found: dict[str, Any] = {}

    def loader(*arguments: Any, **options: Any) -> LoadReport:
        found.update(options, arguments=arguments[2:])
        return LoadReport(**REPORT.__dict__ | {"interrupted": ("earlier",)})

    def simulator(*_: Any, **options: Any) -> LoadReport:
        found.update(options)
        raise KeyboardInterrupt

    monkeypatch.setattr("treehouse.cli.data.client_of", lambda _: nullcontext(None))
    monkeypatch.setattr("treehouse.cli.load.client_of", lambda _: nullcontext(None))
    monkeypatch.setattr("treehouse.ingest.load.load", loader)
    monkeypatch.setattr("treehouse.cli.profile.summarize", lambda *_: None)
    monkeypatch.setattr("treehouse.simulation.app.simulate", simulator)
    return found


def test_load_hands_over_its_mapping_and_hints_at_what_to_do(told: dict[str, Any]) -> None:
    mapping = ("--map", "buyer=customer_id", "--map", "a=b=c")
    shown = CliRunner().invoke(
        app, ["load", "purchases", "x.csv", "y", "--format", "csv", *mapping]
    )
    assert shown.exit_code == 0
    assert told["arguments"] == ("purchases", ["x.csv", "y"])
    assert told["reading"] == Reading(format="csv", columns={"customer_id": "buyer", "c": "a=b"})
    assert "quarantined: 2" in shown.stdout
    assert "quantity.rule" in shown.stdout
    assert "event_at: read as seconds since 1970: 1,000" in shown.stdout
    words = " ".join(shown.stderr.split())
    assert "from treehouse_raw.quarantine group by 1 order by 2 desc" in words
    assert "./treehouse reconcile --repair" in words


def test_a_mapping_is_printed_passed_and_overruled(told: dict[str, Any], tmp_path: Path) -> None:
    printed = CliRunner().invoke(app, ["load", "events", "--print", "--decimal", ","])
    (tmp_path / "m.yml").write_text(printed.stdout)
    passed = ("--mapping", str(tmp_path / "m.yml"), "--time-zone", "Asia/Tokyo")
    assert CliRunner().invoke(app, ["load", "events", "x.csv", *passed]).exit_code == 0
    assert told["reading"] == Reading(decimal=",", time_zone="Asia/Tokyo")


def test_a_preset_is_printed_to_be_edited_or_used_as_it_is(
    told: dict[str, Any], tmp_path: Path
) -> None:
    load = ("load", "events", "x.json", "--preset", "amplitude")
    printed = CliRunner().invoke(app, [*load, "--print"])
    (tmp_path / "m.yml").write_text(printed.stdout)
    assert read_mapping(tmp_path / "m.yml") == read_preset("amplitude", "events")
    assert CliRunner().invoke(app, [*load, "--map", "mine=user_id"]).exit_code == 0
    assert told["reading"] == read_preset("amplitude", "events").with_options({"user_id": "mine"})
    both = CliRunner().invoke(app, [*load, "--mapping", str(tmp_path / "m.yml")])
    assert "A preset and a mapping are two of the same kind" in str(both.exception)


@pytest.mark.parametrize("pairs", [["a"], ["=a"], ["a="], ["a=c", "b=c"]])
def test_maps_that_say_too_little_or_too_much_are_refused(
    told: dict[str, Any], pairs: list[str]
) -> None:
    options = [part for pair in pairs for part in ("--map", pair)]
    refused = CliRunner().invoke(app, ["load", "events", "x.csv", *options])
    assert "A mapping of columns could not be read" in str(refused.exception)
    assert not told


def test_help_of_load_lists_the_columns_and_what_they_mean() -> None:
    shown = " ".join(CliRunner().invoke(app, ["load", "--help"]).stdout.split())
    for source in read_sources(Settings()).values():
        for column in source.columns:
            assert column.name in shown
            assert column.comment in shown


def test_simulate_hands_over_its_options_and_can_be_interrupted(told: dict[str, Any]) -> None:
    options = "--users 7 --seed 3 --end 2026-01-31 --replace --beside-others"
    shown = CliRunner().invoke(app, ["simulate", *options.split()])
    assert shown.exit_code == 130
    del told["progress"]
    assert told == {
        "users": 7,
        "seed": 3,
        "end": date(2026, 1, 31),
        "replace": True,
        "beside_others": True,
    }


@pytest.mark.slow
def test_simulated_users_beside_ones_own(run_cli: Cli, tmp_path: Path) -> None:
    home, rows = tmp_path / "home", tmp_path / "installs.csv"
    rows.write_text(
        "user_id,installed_at,campaign_id,ad_creative_id,country,platform,device_type,os_version\n"
        "mine,2026-01-01 00:00:00,c,a,DE,ios,phone,17\n"
    )
    loaded = json.loads(run_cli("load", "installs", str(rows), "--json", home=home).stdout)
    assert (loaded["loaded"], loaded["quarantined"]) == (1, 0)
    simulate = ("simulate", "--users", "50", "--end", "2026-02-01", "--json")
    refused = run_cli(*simulate, home=home, check=False)
    assert refused.returncode == 2
    assert "--beside-others" in json.loads(refused.stdout)["fix"]
    done = json.loads(run_cli(*simulate, "--beside-others", home=home).stdout)
    assert (done["installs"], done["already_simulated"]) == (50, False)
    latest = run_cli("sql", "select max(event_at) < '2026-02-01' as b from treehouse_raw.events",
                     "--json", home=home)  # fmt: skip
    assert json.loads(latest.stdout) == [{"b": 1}]
