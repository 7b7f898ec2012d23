"""Where things are: home folder, target, memory bound. Environment variables move them."""

from __future__ import annotations

import getpass
import json
import os
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from treehouse.project.errors import TreehouseError
from treehouse.project.names import check_words
from treehouse.project.own_vars import as_vars, check_vars, parse_vars

ROOT = Path(__file__).resolve().parents[3]
TARGETS = ("embedded", "server")
LEAST_MEMORY = 256 * 2**20
_VAR = re.compile(r"""\{\{\s*var\(['"](\w+)['"]\)\s*\}\}""")
_GIVEN = "TREEHOUSE_VARS"
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def parse_bytes(text: str) -> int:
    """Bytes from "4GiB", "512M" or "1073741824"."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*", text, re.IGNORECASE)
    if not match:
        raise TreehouseError(
            "A size in bytes could not be read.", value=text, expected="for example 4GiB or 512M"
        )
    return int(float(match[1]) * _UNITS[match[2].upper()])


def _memory_bytes(text: str) -> int:
    """As parse_bytes; below the least, the engine does not even load its tables."""
    size = parse_bytes(text)
    if size < LEAST_MEMORY:
        raise TreehouseError(
            "TREEHOUSE_MEMORY is too little for the engine.",
            value=text,
            expected=f"at least {LEAST_MEMORY >> 20}MiB",
            fix="TREEHOUSE_MEMORY=2GiB, for example",
        )
    return size


@dataclass(frozen=True)
class Settings:
    """What a run needs to know of its surroundings.

    Attributes:
        home: Folder of the embedded engine: data, model files, scorer, configuration.
        target: "embedded" (the engine in this process) or "server" (any ClickHouse over HTTP).
        memory_bytes: What the embedded engine may use in all, and a query on either target.
            Aggregations, sorts and joins spill to disk at half of it: less is slower.
        raw_database: Database of the sources, as dbt's var of the same name.
        registry_database: Database of the registry, as dbt's var of the same name.
        database: Database of the dbt models, as in profiles.yml.
    """

    home: Path = ROOT / ".treehouse"
    target: str = "embedded"
    memory_bytes: int = 4 * 2**30
    raw_database: str = "treehouse_raw"
    registry_database: str = "treehouse_registry"
    database: str = "treehouse"

    @classmethod
    def from_environment(cls, target: str | None = None) -> Settings:
        """Settings from TREEHOUSE_HOME, TREEHOUSE_TARGET, TREEHOUSE_MEMORY and dbt's own files."""
        target = target or os.environ.get("TREEHOUSE_TARGET", "embedded")
        if target not in TARGETS:
            raise TreehouseError(
                "There is no such target.", value=target, expected=" or ".join(TARGETS)
            )
        variables = project_vars()
        return cls(
            home=_home(),
            target=target,
            memory_bytes=_memory_bytes(os.environ.get("TREEHOUSE_MEMORY", "4GiB")),
            raw_database=variables["raw_database"],
            registry_database=variables["registry_database"],
            database=profile(target)["schema"],
        )

    @property
    def data(self) -> Path:
        """Data of the embedded engine; one process at a time may hold it."""
        return self.home / "data"

    @property
    def model_files(self) -> str:
        """Where SQL's `file()` puts model files, as the engine of this target sees it."""
        return f"{self.home}/user_files/treehouse" if self.target == "embedded" else "treehouse"


def read_yaml(path: Path) -> Any:
    """What a YAML file of the project says.

    Raises:
        TreehouseError: It is not YAML; the message names the line.
    """
    try:
        return yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise TreehouseError(
            "A file could not be read as YAML.",
            value=f"{where}: {getattr(error, 'problem', None) or error}",
            fix="mend that line or the ones before it",
        ) from error


def with_vars(text: str) -> str:
    """A description of a YAML file as dbt renders it: with the values of its vars."""
    return _VAR.sub(lambda found: str(project_vars()[found[1]]), text)


class _Vars(dict[str, Any]):
    """The vars of dbt_project.yml; what is not there is named."""

    def __missing__(self, name: str) -> Any:
        raise TreehouseError(
            "dbt_project.yml lacks a var.",
            value=name,
            expected="one of " + ", ".join(self) if self else "vars",
            fix="take it from the dbt_project.yml of the project",
        )


def _home() -> Path:
    return Path(os.environ.get("TREEHOUSE_HOME", ROOT / ".treehouse")).expanduser().resolve()


def own_vars_file() -> Path:
    """Where a person's own vars stand, for every command: vars.yml in TREEHOUSE_HOME."""
    return _home() / "vars.yml"


def give_vars(text: str) -> None:
    """Let vars, as `--vars` has them, hold for the rest of this process and what it starts.

    Raises:
        TreehouseError: They can't be read, or one can't have that value.
    """
    given = parse_vars(os.environ.get(_GIVEN, "")) | parse_vars(text)
    check_vars(given, _project_vars(), "--vars")
    os.environ[_GIVEN] = json.dumps(given)


def own_vars() -> dict[str, Any]:
    """What differs from dbt_project.yml: the vars of vars.yml and, above them, those of --vars."""
    return dict(_own_vars(own_vars_file(), os.environ.get(_GIVEN, "")))


@cache
def _own_vars(path: Path, given: str) -> dict[str, Any]:
    found = as_vars(read_yaml(path), str(path)) if path.exists() else {}
    if set(found) == {"vars"}:  # as in dbt_project.yml
        found = as_vars(found["vars"], str(path))
    check_vars(found, _project_vars(), str(path))
    return found | parse_vars(given)


def project_vars() -> dict[str, Any]:
    """The vars that hold: those of dbt_project.yml, and in their place one's own."""
    return _Vars(_project_vars() | own_vars())


@cache
def _project_vars() -> dict[str, Any]:
    project = read_yaml(ROOT / "dbt_project.yml")
    variables = (project.get("vars") if isinstance(project, dict) else None) or {}
    check_words(variables, "vars", "dbt_project.yml")
    return variables


def profile(target: str) -> dict[str, Any]:
    """The output of that name in profiles.yml, its Jinja rendered.

    Raises:
        TreehouseError: There is none.
    """
    path = Path(os.environ.get("DBT_PROFILES_DIR", ROOT)) / "profiles.yml"
    try:
        output = _profiles(path)["treehouse"]["outputs"][target]
    except (OSError, KeyError, TypeError) as error:
        raise TreehouseError(
            "profiles.yml has no such output.",
            value=f"treehouse.outputs.{target} in {path}",
            expected="profile treehouse with the outputs embedded and server",
            fix="take it from the profiles.yml of the project, or unset DBT_PROFILES_DIR",
        ) from error
    return {name: _rendered(name, value) for name, value in output.items()}


@cache
def _profiles(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = read_yaml(path)
    return content


def _rendered(name: str, value: Any) -> Any:
    """A value of profiles.yml, as dbt renders it; what was Jinja is always text.

    Raises:
        TreehouseError: It can't be rendered: it names the field, not what is in it.
    """
    from jinja2 import TemplateError
    from jinja2.sandbox import SandboxedEnvironment

    if not isinstance(value, str) or "{" not in value:
        return value
    environment = SandboxedEnvironment()
    environment.globals["env_var"] = lambda name, default="": os.environ.get(name, default)
    environment.filters["as_number"] = int
    environment.filters["as_bool"] = lambda value: str(value).lower() == "true"
    try:
        return environment.from_string(value).render()
    except (TemplateError, ValueError) as error:
        raise TreehouseError(
            "A field of profiles.yml could not be rendered.",
            value=name if name == "password" else f"{name}: {value}",
            expected="for a port a number, for secure True or False",
            fix="mend the variable that it names: CLICKHOUSE_PORT and so on, or CLICKHOUSE_URL",
        ) from error


def actor() -> str:
    """Who runs this, for the record; a container's user may have a number and no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def python_version_supported() -> bool:
    """Whether this interpreter is one that Treehouse is tested with."""
    return sys.version_info >= (3, 11)
