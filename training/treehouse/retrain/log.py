"""The log of retraining: one run of a model at a time (turns.py), step by step.

Its tables are in macros/state/retrain.sql. A run that ended has a row with its outcome; one without
is running, or its process was killed, which the next run of the model writes down.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from treehouse.clickhouse.client import identifier
from treehouse.clickhouse.ddl import MACROS, is_there, run_ddl, storage
from treehouse.clickhouse.ordered import next_time
from treehouse.clickhouse.turns import Turn, alone

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings


def ensure_runs(client: Client, settings: Settings) -> None:
    """Create the tables of the log where they are missing; the registry comes first."""
    database = identifier(settings.registry_database)
    run_ddl(client, MACROS / "state" / "retrain.sql", "runs_ddl", database, **storage(settings))


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
    """A run of this process, inside of `running`."""

    turn: Turn
    model: str
    number: int
    id: uuid.UUID
    step: str = "start"
    version: int = 0

    @property
    def client(self) -> Client:
        """Of the engine."""
        return self.turn.client

    @property
    def settings(self) -> Settings:
        """Of the target."""
        return self.turn.settings

    def enter(self, step: str) -> None:
        """Write that a step begins.

        Raises:
            BusyError: Another process counted this run as killed and began one of its own.
        """
        self.turn.check()
        self.step = step
        self._write()

    def end(self, outcome: str, detail: str = "") -> None:
        """Write how it ended."""
        self._write(outcome=outcome, version=self.version, detail=detail)

    def _write(self, **values: Any) -> None:
        _insert(self.client, self.settings, self.model, self.number, self.id, self.step, **values)


@contextmanager
def running(
    client: Client, settings: Settings, model: str, trigger: str, reason: str
) -> Iterator[Run]:
    """A run of a model, while nobody else's is under way.

    Raises:
        BusyError: Another run of the model is under way.
    """
    with alone(client, settings, f"retrain {model}") as turn:
        latest = _latest(client, settings, model)
        if latest and not latest["outcome"]:
            _insert(
                client, settings, model, latest["run"], latest["run_id"], latest["step"],
                outcome="killed",
                detail=f"process {latest['process']} on {latest['host']} ended without a word",
            )  # fmt: skip
        run = Run(turn, model, (latest["run"] if latest else 0) + 1, uuid.uuid4())
        _insert(
            client, settings, model, run.number, run.id, run.step, trigger=trigger, reason=reason
        )
        yield run


def _latest(client: Client, settings: Settings, model: str) -> dict[str, Any] | None:
    """The model's newest run: whose it is, its last step and its outcome."""
    result = client.query(
        f"""
        select
            run,
            argMin(run_id, at) as run_id,
            argMin(host, at) as host,
            argMin(process, at) as process,
            argMax(step, at) as step,
            max(outcome) as outcome
        from {identifier(settings.registry_database)}.run_steps
        where model = {{model:String}}
        group by run
        order by run desc
        limit 1
        """,
        parameters={"model": model},
    )
    return next(iter(result.named_results()), None)


def _insert(
    client: Client,
    settings: Settings,
    model: str,
    number: int,
    run_id: uuid.UUID,
    step: str,
    **values: Any,
) -> None:
    table = f"{identifier(settings.registry_database)}.run_steps"
    row = {
        "at": next_time(client, table, model=model),
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
        # Equal rows are no duplicates of one another.
        settings={"insert_deduplication_token": str(uuid.uuid4())},
    )
