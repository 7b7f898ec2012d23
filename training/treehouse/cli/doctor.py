"""Looks at all that Treehouse stands on, and says how to mend what is wrong."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from packaging.requirements import Requirement

from treehouse.bundle import Bundle, Inputs, bundle_id, e
from treehouse.clickhouse.client import connect, identifier, literal, server_profile
from treehouse.clickhouse.install import network_packages
from treehouse.clickhouse.roles import role_grants
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import ROOT, Settings, python_version_supported
from treehouse.registry.sync import wrong_files
from udfs.build import build, find_compiler

Status = Literal["ok", "warn", "fail"]
_GIB = 2**30
_INSTALL = "the operator's install: ./treehouse install --print"
_DISK_NEEDED, _DISK_WANTED = 1 * _GIB, 5 * _GIB


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What was looked at.
        status: "ok"; "warn": works, but not all of it or not well; "fail": has to be mended.
        found: What is there.
        fix: What to do about it; empty for "ok".
    """

    name: str
    status: Status
    found: str
    fix: str = ""


def diagnose(settings: Settings) -> list[Check]:
    """All checks for the settings' target; a check that breaks becomes a failed one."""
    checks = [
        _guarded(name, check, settings)
        for name, check in (
            ("python", _python),
            ("packages", _packages),
            ("compiler", _compiler),
            ("scorer", _scorer),
            ("home folder", _home),
            ("disk", _disk),
            ("memory", _memory),
            ("profiles.yml", _profile),
        )
    ]
    try:
        client = connect(settings)
    except Exception as error:
        return [*checks, _failed("engine", error)]
    try:
        return [*checks, *_engine_checks(client, settings)]
    finally:
        client.close()


def _engine_checks(client: Client, settings: Settings) -> Iterator[Check]:
    """What can be asked of an engine that answers."""
    yield _guarded("engine", lambda _: _engine(client, settings), settings)
    if settings.target == "server":
        yield _guarded("grants", lambda _: _grants(client), settings)
    function = _guarded("treehouse_score()", lambda _: _function(client, settings), settings)
    yield function
    if function.status == "ok":
        yield _guarded("model files", lambda _: _model_files(client, settings), settings)
    yield _guarded("registry", lambda _: _registry(client, settings), settings)
    yield _guarded("treehouse_network()", lambda _: _network(client, settings), settings)


def _guarded(name: str, check: Callable[[Settings], Check], settings: Settings) -> Check:
    try:
        return check(settings)
    except Exception as error:
        return _failed(name, error)


def _failed(name: str, error: Exception) -> Check:
    if isinstance(error, TreehouseError):
        found = error.what if error.value is None else f"{error.what} {error.value}"
        return Check(name, "fail", found, error.fix or error.expected or "")
    text = str(error).split(", Stack trace")[0].strip() or type(error).__name__
    return Check(name, "fail", text, "the message above is the library's own")


def _python(_: Settings) -> Check:
    found = f"{platform.python_version()} at {sys.executable}"
    if python_version_supported():
        return Check("python", "ok", found)
    return Check(
        "python", "fail", found, "Python 3.11 or newer: remove .venv, run ./treehouse again"
    )


def _packages(_: Settings) -> Check:
    """Whether what is installed is within the ranges that were tested together."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = [Requirement(text) for text in project["dependencies"]]
    wrong = [
        f"{requirement.name} {version or 'missing'} (tested: {requirement.specifier})"
        for requirement in requirements
        if (version := _installed(requirement.name)) is None
        or not requirement.specifier.contains(version, prereleases=True)
    ]
    if wrong:
        status: Status = "fail" if any(" missing " in text for text in wrong) else "warn"
        fix = "remove .venv and run ./treehouse again: it installs the tested versions"
        return Check("packages", status, ", ".join(wrong), fix)
    return Check("packages", "ok", f"{len(requirements)} packages, each in its tested range")


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _compiler(_: Settings) -> Check:
    try:
        return Check("compiler", "ok", " ".join(find_compiler()))
    except TreehouseError as error:  # only missed where the scorer has to be built
        return Check("compiler", "warn", error.what, error.fix or "")


def _scorer(_: Settings) -> Check:
    binary = build()
    done = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=30)
    if done.returncode:
        return Check(
            "scorer",
            "fail",
            f"{binary} ended with {done.returncode}: {done.stderr.strip()}",
            f"remove {binary.parent} and run ./treehouse doctor: it is built again",
        )
    return Check("scorer", "ok", done.stdout.strip())


def _home(settings: Settings) -> Check:
    settings.home.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryFile(dir=settings.home):
            return Check("home folder", "ok", str(settings.home))
    except OSError as error:
        fix = "give this user the right to write there, or set TREEHOUSE_HOME to another folder"
        return Check("home folder", "fail", f"{settings.home}: {error.strerror}", fix)


def _disk(settings: Settings) -> Check:
    free = shutil.disk_usage(_existing(settings.home)).free
    found = f"{free / _GIB:.1f} GiB free at {settings.home}"
    if free >= _DISK_WANTED:
        return Check("disk", "ok", found)
    fix = f"free some space ({_DISK_WANTED // _GIB} GiB is comfortable), or move TREEHOUSE_HOME"
    return Check("disk", "warn" if free >= _DISK_NEEDED else "fail", found, fix)


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _memory(settings: Settings) -> Check:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    found = f"{settings.memory_bytes / _GIB:.1f} GiB for the engine of {total / _GIB:.1f} GiB"
    if settings.memory_bytes <= total:
        return Check("memory", "ok", found)
    return Check("memory", "warn", found, "set TREEHOUSE_MEMORY to less, for example 2GiB")


def _profile(_: Settings) -> Check:
    profile = server_profile()
    where = f"{profile['user']}@{profile['host']}:{profile['port']}"
    return Check("profiles.yml", "ok", f"target server is {where}")


def _engine(client: Client, settings: Settings) -> Check:
    version = client.query("select version()").result_rows[0][0]
    where = "in this process" if settings.target == "embedded" else "over HTTP"
    return Check("engine", "ok", f"ClickHouse {version}, {where}")


def _grants(client: Client) -> Check:
    """Whether this user may do what the install's role may."""
    lacking = [
        f"{privilege} on {place}"
        for privilege, place in role_grants()
        if not _may(client, privilege, re.sub(r"\b\*", "", place))
    ]
    if lacking:
        return Check(
            "grants",
            "fail",
            f"this user lacks {', '.join(lacking)}",
            f"GRANT treehouse; {_INSTALL}",
        )
    return Check("grants", "ok", "all of the role treehouse")


def _may(client: Client, privilege: str, place: str) -> bool:
    return bool(client.query(f"check grant {privilege} on {place}").result_rows[0][0])


def _function(client: Client, settings: Settings) -> Check:
    """Whether the scorer is declared and answers; bundle 0 stands for no model at all."""
    name = "treehouse_score()"
    declared = client.query("select count() from system.functions where name = 'treehouse_score'")
    if not declared.result_rows[0][0]:
        fix = _INSTALL if settings.target == "server" else "run ./treehouse doctor once more"
        return Check(name, "fail", "not declared", fix)
    question = "select treehouse_score(0::UInt64, emptyArrayFloat64(), emptyArrayString())"
    answer = client.query(question).result_rows[0][0]
    if list(answer):
        return Check(name, "fail", f"{answer} for no model, instead of []", _INSTALL)
    return Check(name, "ok", "declared and answering")


def _model_files(client: Client, settings: Settings) -> Check:
    """Whether a model file that SQL writes is one that the scorer answers from."""
    bundle = Bundle(
        model="doctor",
        version=1,
        contract="",
        inputs=Inputs(numeric=("x",)),
        forests=(),
        heads={"doubled": e.feature("x") * 2.0},
    )
    content = bundle.to_bytes()
    path = f"{settings.model_files}/{bundle_id(content):016x}.bundle"
    file = f"file({literal(path)}, 'RawBLOB', 'content String')"
    try:
        client.command(f"select length(content) from {file}")
    except ClickHouseError:
        client.command(f"insert into function {file} select unhex('{content.hex()}')")
    question = f"select treehouse_score({bundle_id(content)}::UInt64, [21.], emptyArrayString())"
    try:
        answer = [float(value) for value in client.query(question).result_rows[0][0]]
    except ClickHouseError as error:
        found = f"written as {path}, but the scorer says: {str(error).splitlines()[0]}"
        fix = "user_scripts_path and user_files_path of the server must stand side by side"
        return Check("model files", "fail", found, fix)
    if answer != [1.0, 42.0]:
        return Check("model files", "fail", f"{answer} instead of [1, 42]", _INSTALL)
    if wrong := wrong_files(client, settings):
        return Check("model files", "fail", "; ".join(wrong), "./treehouse sync")
    return Check("model files", "ok", f"SQL writes and the scorer reads {settings.model_files}")


def _network(client: Client, settings: Settings) -> Check:
    """Whether the worker for neural networks starts; only models that hold one need it."""
    name, needed = "treehouse_network()", _versions_with_networks(client, settings)
    try:
        client.query("select treehouse_network(0::UInt64, [], [], [], [])")
    except ClickHouseError as error:
        found = f"{needed} published versions need it: {str(error).splitlines()[0]}"
        fix = f"a Python with {network_packages()} on the server; {_INSTALL}"
        return Check(name, "fail" if needed else "warn", found, fix)
    return Check(name, "ok", f"the worker starts; {needed} published versions need it")


def _versions_with_networks(client: Client, settings: Settings) -> int:
    versions = f"{identifier(settings.registry_database)}.versions"
    try:
        rows = client.query(f"select countIf(notEmpty(networks)) from {versions}").result_rows
    except ClickHouseError:  # no registry yet
        return 0
    return int(rows[0][0])


def _registry(client: Client, settings: Settings) -> Check:
    """Whether the registry is there and its dictionaries load."""
    database = settings.registry_database
    rows = client.query(
        "select name, status, last_exception from system.dictionaries "
        f"where database = {literal(database)}"
    ).result_rows
    if not rows:
        return Check("registry", "warn", f"no database {database} yet", "run ./treehouse build")
    broken = [f"{name}: {status} {why}".strip() for name, status, why in rows if why]
    if broken:
        fix = "after a change of the password: ./treehouse build, which makes them anew"
        return Check("registry", "fail", "; ".join(broken), fix)
    if older := _older_texts(client, database):
        found = f"queries may mix two versions through what an older release made: {older}"
        fix = "./treehouse build; create views that are not dbt's anew"
        return Check("registry", "warn", found, fix)
    return Check("registry", "ok", f"{', '.join(sorted(row[0] for row in rows))} in {database}")


def _older_texts(client: Client, registry: str) -> str:
    """Names of functions and views that look a champion or a variant up wherever it stands."""
    texts = (f"'{registry}.champions', 'bundle', ('", f"'{registry}.assignments'")
    lookups = f"[{', '.join(map(literal, texts))}]"
    rows = client.query(
        "select name from system.functions "
        f"where multiSearchAny(create_query, {lookups}) union all "
        "select concat(database, '.', name) from system.tables "
        f"where multiSearchAny(as_select, {lookups}) order by name"
    ).result_rows
    names = [str(row[0]) for row in rows]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if names[5:] else "")
