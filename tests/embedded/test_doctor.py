"""The doctor finds what is wrong, says how to mend it, and never falls ill itself."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.conftest import Cli, Engine
from treehouse.cli import doctor
from treehouse.cli.doctor import Check, diagnose
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import Settings

NAMES = [
    "python",
    "packages",
    "compiler",
    "scorer",
    "home folder",
    "disk",
    "memory",
    "profiles.yml",
    "engine",
    "treehouse_score()",
    "model files",
    "registry",
    "treehouse_network()",
]


def by_name(settings: Settings) -> dict[str, Check]:
    checks = diagnose(settings)
    for check in checks:
        assert check.status == "ok" or check.fix, check
    return {check.name: check for check in checks}


def test_a_healthy_engine(fresh: Engine) -> None:
    found = by_name(fresh.settings)
    expected = [*NAMES[:9], *(["grants"] if fresh.target == "server" else []), *NAMES[9:]]
    assert list(found) == expected
    poor = {name: check for name, check in found.items() if check.status == "fail"}
    assert not poor
    assert found["treehouse_network()"].status == "ok"
    assert found["registry"].status == "warn"
    assert "./treehouse build" in found["registry"].fix


def test_it_can_be_run_again(fresh: Engine) -> None:
    assert by_name(fresh.settings)["model files"] == by_name(fresh.settings)["model files"]


def test_json_is_one_list_of_checks(run_cli: Cli) -> None:
    done = run_cli("doctor", "--json")
    checks = json.loads(done.stdout)
    assert [check["name"] for check in checks] == NAMES
    assert {"name", "status", "found", "fix"} == set(checks[0])


def test_a_broken_check_is_a_failed_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Path) -> None:
        raise OSError("the disk is on fire")

    monkeypatch.setattr(doctor, "_existing", broken)
    found = by_name(settings)["disk"]
    assert (found.status, found.found) == ("fail", "the disk is on fire")


def test_no_engine_keeps_the_other_checks(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Settings) -> None:
        raise TreehouseError("Nobody answers.", value="host:1", fix="start it")

    monkeypatch.setattr(doctor, "connect", refuse)
    found = by_name(settings)
    assert list(found) == NAMES[:9]
    assert found["engine"] == Check("engine", "fail", "Nobody answers. host:1", "start it")


def test_an_untested_package_version_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = {"treelite": "1.0.0", "numpy": None}
    installed = doctor._installed
    monkeypatch.setattr(
        doctor, "_installed", lambda name: versions[name] if name in versions else installed(name)
    )
    check = doctor._packages(settings)
    assert check.status == "fail"
    assert "treelite 1.0.0 (tested: " in check.found
    assert "numpy missing" in check.found


def test_a_home_that_is_a_file_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    found = doctor._guarded("home folder", doctor._home, Settings(home=file / "home"))
    assert found.status == "fail"
    assert str(file) in found.found


def test_more_memory_than_there_is_is_a_warning() -> None:
    check = doctor._memory(Settings(memory_bytes=2**60))
    assert check.status == "warn"
    assert "TREEHOUSE_MEMORY" in check.fix


def test_an_old_python_is_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 0))
    assert doctor._python(settings).status == "fail"
