"""What the simulator did, as rows: which run is in the sources, and how far it came."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import date

from clickhouse_connect.driver.client import Client

from treehouse.clickhouse.client import identifier, literal
from treehouse.clickhouse.ordered import next_time
from treehouse.project.settings import Settings
from treehouse.simulation.app.parameters import GENERATOR_VERSION, Parameters

_DDL = """create table if not exists {table}
(
    finished_at DateTime64(6, 'UTC') default now64(6) comment 'Of this step',
    state LowCardinality(String) comment 'started, written (a batch), finished, removing, removed',
    seed UInt64,
    end_day Date comment 'The present of the simulation',
    version UInt32 comment 'Of the generator',
    parameters String comment 'Of the generative model, as JSON',
    users UInt64 comment 'Asked for',
    users_done UInt64 comment 'Complete so far',
    events UInt64 comment 'In the source once finished, else 0'
)
engine = MergeTree order by finished_at
comment 'What the simulator did; append-only. Its user ids are u0000000 and so on'"""


@dataclass(frozen=True)
class Run:
    """What decides every row, but for how many users there are."""

    seed: int
    end: date
    parameters: str
    version: int = GENERATOR_VERSION

    @classmethod
    def of(cls, seed: int, end: date, parameters: Parameters) -> Run:
        """The run of these arguments and of this generator."""
        return cls(seed, end, json.dumps(asdict(parameters), sort_keys=True))


@dataclass(frozen=True)
class Step:
    """One row of the log.

    Attributes:
        run: Whose rows are there, or are on their way in or out.
        state: As in the table.
        users: Asked for: no row of a later user can be there.
        done: Users that are complete.
        events: Events in the source, if finished.
    """

    run: Run
    state: str
    users: int
    done: int = 0
    events: int = 0


def table(settings: Settings) -> str:
    """Qualified name of the log."""
    return f"{identifier(settings.raw_database)}.simulation_runs"


def ensure_log(client: Client, settings: Settings) -> None:
    """Create the log, where missing."""
    client.command(_DDL.format(table=table(settings)))


def append(client: Client, settings: Settings, step: Step) -> None:
    """Remember a step."""
    run = step.run
    at = next_time(client, table(settings), "finished_at")
    values = (
        f"'{at:%Y-%m-%d %H:%M:%S.%f}'",
        *(literal(step.state), run.seed, literal(str(run.end)), run.version),
        *(literal(run.parameters), step.users, step.done, step.events),
    )
    client.command(
        f"insert into {table(settings)} "
        "(finished_at, state, seed, end_day, version, parameters, users, users_done, events) "
        f"values ({', '.join(map(str, values))})"
    )


def last_step(client: Client, settings: Settings) -> Step | None:
    """The last step of the simulation that is in the sources; None if there is none."""
    rows = client.query(
        "select seed, end_day, parameters, version, state, users, users_done, events "
        f"from {table(settings)} order by finished_at desc limit 1"
    ).result_rows
    if not rows or rows[0][4] == "removed":
        return None
    seed, end, parameters, version, *rest = rows[0]
    return Step(Run(seed, end, parameters, version), *rest)
