"""The operator's install: one description, shown, applied and mounted alike."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from tests.support.some import some
from treehouse.clickhouse.install import (
    NETWORK_PYTHON,
    InstallFile,
    apply,
    install_plan,
    network_packages,
    render_print,
)
from treehouse.clickhouse.roles import granted, role_grants
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import ROOT

SCORER = Path("var/lib/clickhouse/user_scripts/treehouse-scorer")


def installed(root: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mode & 0o777)
        for path in root.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The service of docker-compose.yml."""
    text = (ROOT / "docker-compose.yml").read_text()
    service: dict[str, Any] = yaml.safe_load(text)["services"]["clickhouse"]
    return service


def test_apply_writes_what_the_plan_says(tmp_path: Path) -> None:
    plan = install_plan(tmp_path)
    assert apply(plan) == plan
    assert installed(tmp_path) == {
        str(file.destination.relative_to(tmp_path)): (file.source.read_bytes(), file.mode)
        for file in plan
    }
    assert (tmp_path / SCORER).stat().st_mode & 0o111


def test_apply_twice_writes_nothing(tmp_path: Path) -> None:
    apply(install_plan(tmp_path))
    assert apply(install_plan(tmp_path)) == []


def test_apply_mends_only_what_differs(tmp_path: Path) -> None:
    plan = install_plan(tmp_path)
    apply(plan)
    plan[1].destination.write_text("something older")
    assert apply(plan) == [plan[1]]
    assert all(file.is_current for file in some(plan))


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("a file where a folder should be")
    with pytest.raises(TreehouseError, match="install --print"):
        apply(install_plan(tmp_path))


def test_the_printed_commands_do_the_same_as_apply(tmp_path: Path) -> None:
    script, direct = tmp_path / "by script", tmp_path / "direct"
    text = render_print(install_plan(script))
    subprocess.run(["sh", "-eu"], input=text, text=True, check=True, timeout=60)
    apply(install_plan(direct))
    assert installed(script) == installed(direct)
    assert str(ROOT) not in text, "a server has no checkout"


def test_the_plan_is_the_stock_layout() -> None:
    assert [str(file.destination) for file in install_plan()] == [
        f"/{SCORER}",
        f"/{SCORER.with_name('treehouse-network')}",
        "/etc/clickhouse-server/treehouse_function.xml",
        "/etc/clickhouse-server/users.d/treehouse.xml",
    ]


def test_compose_mounts_what_the_plan_copies(compose: dict[str, Any]) -> None:
    mounts = {}
    for volume in compose["volumes"]:
        source, target, *mode = volume.split(":")
        if source.startswith("./"):
            assert mode == ["ro"], volume
            mounts[Path(target)] = ROOT / source
    used = set()
    for file in install_plan():
        mount, source = mounted(file, mounts)
        assert source.read_bytes() == file.source.read_bytes()
        used.add(mount)
    assert used == set(mounts)


def mounted(file: InstallFile, mounts: dict[Path, Path]) -> tuple[Path, Path]:
    """The mounted file or folder that holds a file inside the container, and the file here."""
    if file.destination in mounts:
        return file.destination, mounts[file.destination]
    folder = file.destination.parent
    return folder, mounts[folder] / file.destination.name


def test_the_image_for_networks_has_what_the_worker_needs(compose: dict[str, Any]) -> None:
    text = (ROOT / "udfs/docker-compose.network.yml").read_text()
    service = yaml.safe_load(text)["services"]["clickhouse"]
    recipe = service["build"]["dockerfile_inline"]
    assert f"FROM {compose['image']}\n" in recipe
    assert network_packages() in recipe
    assert f"uv venv --python 3.12 {NETWORK_PYTHON.parent.parent} " in recipe


def test_the_printed_install_tells_how_to_make_the_workers_python(tmp_path: Path) -> None:
    text = render_print(install_plan(tmp_path))
    assert f"{NETWORK_PYTHON.parent}/pip install {network_packages()}\n" in text
    program = (tmp_path / SCORER).with_name("treehouse-network")
    apply(install_plan(tmp_path))
    first = program.read_bytes().split(b"\nPK")[0]
    assert f"for python in {NETWORK_PYTHON} ".encode() in first


# That the image takes the mounts is not tested: there is no container engine where this runs.
def test_compose_is_for_this_machine_only(compose: dict[str, Any]) -> None:
    assert all(port.startswith("127.0.0.1:") for port in some(compose["ports"]))
    assert re.fullmatch(
        r"\$\{CLICKHOUSE_PASSWORD:-\w+\}", compose["environment"]["CLICKHOUSE_PASSWORD"]
    )
    assert re.fullmatch(r"clickhouse/clickhouse-server:\d+\.\d+", compose["image"])
    assert compose["healthcheck"]["test"][0] == "CMD"


def test_the_role_grants_no_data_outside_its_own_databases() -> None:
    grants = role_grants()
    assert len(grants) > 20
    own = ("treehouse*.*", "simulation_truth.*")
    on_data = {"SELECT", "INSERT", "ALTER", "TRUNCATE", "DROP TABLE", "DROP DATABASE", "ALL"}
    foreign = [(privilege, place) for privilege, place in grants if place not in own]
    assert all(
        place.startswith("system.") if privilege == "SELECT" else privilege not in on_data
        for privilege, place in some(foreign)
    )


def test_every_grant_of_the_role_is_read() -> None:
    role = ElementTree.parse(ROOT / "udfs" / "treehouse_role.xml").find("roles/treehouse")
    assert role is not None
    queries = [query.text or "" for query in role.iter("query")]
    assert sum(query.count(",") + 1 for query in queries) == len(role_grants())
    assert granted()["treehouse_operator"] == ("treehouse",)
