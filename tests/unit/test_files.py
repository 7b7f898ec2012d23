"""What lies in a home folder is its owner's alone; a file that was asked for is not."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from treehouse.project import files
from treehouse.project.settings import ROOT


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def open_to_others(folder: Path) -> list[str]:
    """What somebody else could reach if its folder were not closed."""
    paths = [folder, *folder.rglob("*")]
    return [str(path) for path in paths if not path.is_symlink() and path.stat().st_mode & 0o077]


def test_a_home_of_an_older_release_is_closed_and_nothing_else(tmp_path: Path) -> None:
    home, neighbour = tmp_path / "home", tmp_path / "neighbour"
    (home / "dbt" / "logs").mkdir(parents=True)
    (home / "somebody's").mkdir()
    neighbour.write_text("")
    for file in ("dbt/logs/dbt.log", "lock", "somebody's/file"):
        (home / file).write_text("x")
    (home / "dbt" / "link").symlink_to(neighbour)
    (home / "lock").chmod(0o755)
    files.keep_private(home)
    assert set(open_to_others(home)) == {
        str(home / "somebody's"),
        str(home / "somebody's" / "file"),
    }
    assert stat.S_IMODE((home / "lock").stat().st_mode) == 0o700
    assert stat.S_IMODE(neighbour.stat().st_mode) == 0o666


def test_a_home_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    files.keep_private(tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_what_is_written_is_private_unless_a_user_chose_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_USERS_UMASK", 0o022)
    mine, shared = tmp_path / "a" / "mine", tmp_path / "b" / "shared"
    mine.with_name("mine.new").parent.mkdir()
    mine.with_name("mine.new").write_text("of a run that was stopped")
    files.write_whole(mine, b"1")
    files.keep_private(tmp_path / "home")
    files.write_whole(shared, b"2", shared=True)
    assert stat.S_IMODE(mine.stat().st_mode) == 0o600
    assert stat.S_IMODE(shared.stat().st_mode) == 0o644
    assert stat.S_IMODE(shared.parent.stat().st_mode) == 0o755


@pytest.mark.slow
def test_a_run_leaves_nothing_for_others_whatever_the_umask(tmp_path: Path) -> None:
    """Engine, scorer and dbt: data, programs, logs and targets."""
    home = tmp_path / "home"
    own = {"TREEHOUSE_HOME": str(home), "DBT_LOG_LEVEL_FILE": "debug", "DBT_WRITE_JSON": "true"}
    for arguments in (
        ("sql", "create table kept (x UInt8) engine = MergeTree order by x as select 1"),
        ("dbt", "run", "--select", "stg_purchases"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "treehouse", *arguments],
            env=os.environ | own,
            cwd=ROOT, umask=0, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    assert (home / "dbt" / "logs" / "dbt.log").stat().st_size > 0
    assert (home / "dbt" / "embedded" / "manifest.json").exists()
    assert open_to_others(home) == []
