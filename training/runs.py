"""The log of retraining, and by it the lock: one run of a model at a time.

Its tables are in macros/runs.sql. A run takes the next number of its model by inserting its first
row with that number as the deduplication token: where two processes try the same, the engine keeps
one row, and who finds another's row there has lost. A run that ended has a row with its outcome;
one without is running, or its process was killed.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from training.ddl import MACROS, is_there, run_ddl, storage
from training.engine import identifier
from training.errors import TreehouseError

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from training.settings import Settings

LEASE_SECONDS = 3600
"""A run on another machine that wrote nothing for so long counts as killed. A sign of life comes
with the progress of a step; the longest pause is a single dbt model that takes this long."""
_SIGN_OF_LIFE_SECONDS = 60
_held: set[uuid.UUID] = set()  # runs of this process that have not ended


class BusyError(TreehouseError):
    """Another run of the model is under way."""


def ensure_runs(client: Client, settings: Settings) -> None:
    """Create the tables of the log where they are missing; the registry comes first."""
    database = identifier(settings.registry_database)
    run_ddl(client, MACROS / "runs.sql", "runs_ddl", database, **storage(settings))


def list_runs(client: Client, settings: Settings, model: str | None = None) -> list[dict[str, Any]]:
    """Every run, newest first: the columns of the view `runs`."""
    if not is_there(client, settings.registry_database, "runs"):
        return []
    result = client.query(
        f"select * from {identifier(settings.registry_database)}.runs "
        "where {model:String} in ('', model) order by started_at desc, model",
        parameters={"model": model or ""},
    )
    return list(result.named_results())


@dataclass
class Run:
    """A run of this process, from `begin` to `end`."""

    client: Client
    settings: Settings
    model: str
    number: int
    id: uuid.UUID
    step: str = "start"
    version: int = 0
    _told: float = field(default_factory=time.monotonic)

    def enter(self, step: str) -> None:
        """Write that a step begins.

        Raises:
            TreehouseError: Another process counted this run as killed and began one of its own.
        """
        self.step = step
        latest = _latest(self.client, self.settings, self.model)
        if latest is None or latest["run_id"] != self.id or latest["outcome"]:
            raise TreehouseError(
                f"Run {self.number} of {self.model} no longer holds the model.",
                value=f"run {latest['run']} of process {latest['process']} on {latest['host']}"
                if latest
                else "its rows are gone",
                expected=f"a sign of life every {LEASE_SECONDS // 60} minutes",
                fix="./treehouse runs " + self.model,
            )
        self._write()

    def sign_of_life(self, *_: Any) -> None:
        """Now and then a row that says that the step goes on; fits as a progress report."""
        if time.monotonic() - self._told > _SIGN_OF_LIFE_SECONDS:
            self._write()

    def end(self, outcome: str, detail: str = "") -> None:
        """Write how it ended; the model is free for the next run."""
        _held.discard(self.id)
        self._write(outcome=outcome, version=self.version, detail=detail)

    def _write(self, **values: Any) -> None:
        _insert(self.client, self.settings, self.model, self.number, self.id, self.step, **values)
        self._told = time.monotonic()


def begin(client: Client, settings: Settings, model: str, trigger: str, reason: str) -> Run:
    """Start a run and hold the model.

    Raises:
        BusyError: Another run of the model is under way.
    """
    latest = _latest(client, settings, model)
    if latest and not latest["outcome"]:
        if _is_alive(settings, latest):
            raise _busy(model, latest)
        _insert(
            client, settings, model, latest["run"], latest["run_id"], latest["step"],
            outcome="killed",
            detail=f"process {latest['process']} on {latest['host']} ended without a word",
        )  # fmt: skip
    run = Run(client, settings, model, (latest["run"] if latest else 0) + 1, uuid.uuid4())
    token = f"{model} {run.number}"
    _held.add(run.id)  # before the row is seen: nobody may take this process for a dead one
    _insert(
        client, settings, model, run.number, run.id, run.step, token=token,
        trigger=trigger, reason=reason,
    )  # fmt: skip
    holder = _latest(client, settings, model)
    if holder is None or holder["run_id"] != run.id:
        _held.discard(run.id)
        raise _busy(model, holder or {})
    return run


def _busy(model: str, holder: dict[str, Any]) -> BusyError:
    return BusyError(
        f"Another run of {model} is under way.",
        value=f"run {holder.get('run')}, process {holder.get('process')} on {holder.get('host')}",
        expected="one run of a model at a time",
        fix=f"wait for it: ./treehouse runs {model}",
    )


def _latest(client: Client, settings: Settings, model: str) -> dict[str, Any] | None:
    """The model's newest run: who holds it, its last step and outcome, and how long it is silent.

    Times are the engine's own, so that clocks of several machines don't matter.
    """
    result = client.query(
        f"""
        select
            run,
            argMin(run_id, at) as run_id,
            argMin(host, at) as host,
            argMin(process, at) as process,
            argMax(step, at) as step,
            max(outcome) as outcome,
            dateDiff('second', max(at), now64(6)) as silent_seconds
        from {identifier(settings.registry_database)}.run_steps
        where model = {{model:String}}
        group by run
        order by run desc
        limit 1
        """,
        parameters={"model": model},
    )
    return next(iter(result.named_results()), None)


def _is_alive(settings: Settings, run: dict[str, Any]) -> bool:
    """Whether the process of a run without an end is still at it."""
    if run["run_id"] in _held:
        return True
    # The embedded engine lets one process in at a time, and that is this one.
    if settings.target == "embedded" or run["silent_seconds"] > LEASE_SECONDS:
        return False
    if run["host"] == socket.gethostname():
        return run["process"] != os.getpid() and _has_process(run["process"])
    return True


def _has_process(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _insert(
    client: Client,
    settings: Settings,
    model: str,
    number: int,
    run_id: uuid.UUID,
    step: str,
    token: str = "",
    **values: Any,
) -> None:
    row = {
        "model": model,
        "run": number,
        "run_id": run_id,
        "step": step,
        "host": socket.gethostname(),
        "process": os.getpid(),
        **values,
    }
    client.insert(
        "run_steps",
        [list(row.values())],
        column_names=list(row),
        database=settings.registry_database,
        # Equal rows are no duplicates of one another: only the token of a first row is.
        settings={"insert_deduplication_token": token or str(uuid.uuid4())},
    )
