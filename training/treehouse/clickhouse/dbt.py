"""Runs dbt in this process, so that the embedded engine's data stays in one hand."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from treehouse.clickhouse.client import export_url
from treehouse.clickhouse.state import ensure_password_dictionaries
from treehouse.project.console import Report, guarded_stdout
from treehouse.project.errors import TreehouseError
from treehouse.project.own_vars import parse_vars
from treehouse.project.settings import ROOT, Settings, own_vars

_HOOKED = {"build", "run", "seed", "snapshot", "test"}  # what on-run-start comes before
_TAKES_VARS = _HOOKED | {
    "clone", "compile", "debug", "freshness", "generate", "list", "ls", "parse", "run-operation",
    "show",
}  # fmt: skip
_BAD = ("error", "fail", "partial success")


@dataclass(frozen=True)
class DbtRun:
    """What a dbt run did: nodes by status, and what failed: its name, dbt's own words, and
    what to type."""

    counts: dict[str, int]
    failures: list[tuple[str, str, str]]


def environment(settings: Settings) -> dict[str, str]:
    """Environment variables by which dbt finds this project, and `settings`' home and target."""
    export_url()
    return {
        "DBT_PROJECT_DIR": str(ROOT),
        "DBT_PROFILES_DIR": os.environ.get("DBT_PROFILES_DIR", str(ROOT)),
        "DBT_TARGET_PATH": str(settings.home / "dbt" / settings.target),
        "DBT_LOG_PATH": str(settings.home / "dbt" / "logs"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "TREEHOUSE_TARGET": settings.target,
        "TREEHOUSE_HOME": str(settings.home),
        "TREEHOUSE_MEMORY": str(settings.memory_bytes),
    }


def invoke(settings: Settings, arguments: Sequence[str], callbacks: Sequence[Any] = ()) -> Any:
    """dbt with these arguments, as `dbt` itself would print it."""
    from dbt.cli.main import dbtRunner

    if settings.target == "server" and _HOOKED.intersection(arguments):
        ensure_password_dictionaries(settings)
    with _surroundings(environment(settings)), guarded_stdout():
        try:
            return dbtRunner(callbacks=list(callbacks)).invoke(_with_own_vars(arguments))
        finally:
            for handler in logging.getLogger("file_log").handlers:
                handler.close()  # dbt leaves its log file open, run after run


def _with_own_vars(arguments: Sequence[str]) -> list[str]:
    """The arguments with one's own vars; those that a person passes to dbt stand above them."""
    own = own_vars()
    if not own or not _TAKES_VARS.intersection(arguments):
        return [*arguments]
    rest, given, words = list[str](), dict[str, Any](), iter(arguments)
    for word in words:
        name, has_value, value = word.partition("=")
        if name == "--vars":
            given |= parse_vars(value if has_value else next(words, ""))
        else:
            rest.append(word)
    return [*rest, "--vars", json.dumps(own | given)]


@contextmanager
def _surroundings(variables: dict[str, str]) -> Iterator[None]:
    """Environment variables for as long as dbt runs; it reads its options from there."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def build(
    settings: Settings, arguments: Sequence[str] = (), report: Report | None = None
) -> DbtRun:
    """`dbt build`, quietly, with progress.

    Raises:
        TreehouseError: A model or a test failed; the message holds dbt's own.
    """
    done = 0

    def count(event: Any) -> None:
        nonlocal done
        if event.info.name in ("LogModelResult", "LogTestResult") and report:
            done += 1
            total = getattr(event.data, "total", 0) or getattr(event.data, "num_models", 0)
            report(event.data.node_info.node_name, event.data.index, total or None)

    result = invoke(settings, ["--log-level", "none", "build", *arguments], [count])
    if result.exception is not None:
        raise TreehouseError(
            "dbt could not run.",
            value=str(result.exception).strip(),
            fix="./treehouse dbt debug",
        ) from result.exception
    run = _summary(result.result)
    if not run.counts:
        raise TreehouseError(
            "There is nothing to build.",
            value=" ".join(arguments),
            expected="a selection that matches at least one model or test",
            fix="see what there is: ./treehouse dbt ls",
        )
    if run.failures:
        name, message, fix = run.failures[0]
        more = f" (and {len(run.failures) - 1} more)" if len(run.failures) > 1 else ""
        raise TreehouseError(
            f"dbt build failed in {name}{more}.",
            value=message,
            fix=fix,
        )
    return run


def _summary(results: Any) -> DbtRun:
    counts: dict[str, int] = {}
    failures = []
    for result in results:
        status = str(result.status)
        counts[status] = counts.get(status, 0) + 1
        if status in _BAD:
            name, meta = result.node.name, result.node.config.meta or {}
            fix = str(meta.get("fix") or f"./treehouse dbt build --select {name}")
            failures.append((name, _without_trace(result.message or status), fix))
    return DbtRun(counts, failures)


def _without_trace(message: str) -> str:
    """The engine's message without its stack trace, which helps nobody here."""
    return re.sub(r", Stack trace.*?(?=\(version|\Z)", " ", message, flags=re.DOTALL).strip()
