"""dbt within the tests' own process, and copies of the project to edit."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from treehouse.clickhouse.dbt import invoke
from treehouse.project.settings import ROOT, Settings

USERS = 3000
_PARTS = ("models", "macros", "tests/dbt", "dbt_project.yml", "profiles.yml")
_PARSED = "partial_parse.msgpack"
_LEFT_OUT = shutil.ignore_patterns("__pycache__", ".build-*")


def parsed(target: str) -> str:
    """File of what dbt last parsed in this process for a target, by which another run parses only
    what differs; empty before the first time."""
    path = Settings.from_environment().home / "dbt" / target / _PARSED
    return str(path) if path.exists() else ""


def run_dbt(settings: Settings, *arguments: str, project: Path = ROOT) -> Any:
    """dbt on this project or on a copy of it; dbt's own result."""
    if project != ROOT:
        target = settings.home / "dbt" / f"{settings.target}-{project.name}"
        arguments += ("--project-dir", str(project), "--target-path", str(target))
        if not (target / _PARSED).exists() and (known := parsed(settings.target)):
            arguments += ("--partial-parse-file-path", known)
    return invoke(settings, ["--log-level", "none", *arguments])


def dbt(settings: Settings, *arguments: str, project: Path = ROOT) -> None:
    """The same; what fails in it fails the test."""
    done = run_dbt(settings, *arguments, project=project)
    if not done.success:
        messages = [f"{r.node.name}: {r.message}" for r in done.result or () if r.message]
        pytest.fail("\n".join(["dbt " + " ".join(arguments), str(done.exception), *messages]))


def copy_project(folder: Path, *parts: str) -> Path:
    """A copy of what dbt reads, and of further files and folders of the project."""
    for part in (*_PARTS, *parts):
        there = folder / part
        there.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, there, ignore=_LEFT_OUT, dirs_exist_ok=True)
        else:
            shutil.copy2(ROOT / part, there)
    return folder


def edit_features(
    project: Path, use_case: str, edit: Callable[[list[dict[str, Any]]], None]
) -> None:
    """Change the columns of a use case's features model in a copy's YAML."""
    for path in (project / "models").glob("*/*.yml"):
        document = yaml.safe_load(path.read_text())
        for model in document.get("models", []):
            if model["name"] == f"{use_case}_features":
                edit(model["columns"])
                path.write_text(yaml.safe_dump(document, sort_keys=False))
