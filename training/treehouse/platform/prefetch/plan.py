"""Which answers to ask for in advance: the candidates of models/prefetch/ within the limits.

The models know arguments as keyed hashes; what they stand for is read from the engine's own log at
that moment, and kept nowhere. Statements that hold such values are not logged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from treehouse.clickhouse.client import identifier, literal
from treehouse.platform.prefetch.config import Prefetch
from treehouse.platform.prefetch.log import read_model
from treehouse.platform.query_log import call_statements
from treehouse.platform.query_log.calls import calls_of
from treehouse.platform.query_log.collect import UNLOGGED, left_out
from treehouse.platform.query_log.logs import QUERY_LOG, Logs
from treehouse.platform.result_cache.analysis import analyse
from treehouse.platform.result_cache.arguments import ArgumentHash, argument_hash
from treehouse.platform.result_cache.config import NamedQuery, ResultCache
from treehouse.platform.result_cache.fill import fresh_seconds
from treehouse.platform.result_cache.keep import Wanted
from treehouse.platform.result_cache.views import answer_tables

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings

TAKEN = "prefetch"
_MOST = 1_000  # candidates, and texts: their statements must be no longer than max_query_size


@dataclass(frozen=True)
class Candidate:
    """An answer that may be asked for in advance.

    Attributes:
        query: The query.
        arguments: Values of its parameters, as text.
        share: Probability that it is asked while an answer would hold.
        saved_ms: What an answer at hand saves on average.
        run_ms, run_bytes: What the query takes and reads.
        fresh_seconds: For how long a stored answer will still be read; 0 if there is none.
        decision: `prefetch`, or why not.
    """

    query: NamedQuery
    arguments: Mapping[str, str]
    share: float
    saved_ms: float
    run_ms: float
    run_bytes: float
    fresh_seconds: float = 0.0
    decision: str = TAKEN

    @property
    def wanted(self) -> Wanted:
        """What the store is asked to keep."""
        return Wanted(self.query, self.arguments, self.query.allowed_seconds, "prefetched")


def make_plan(
    client: Client,
    cache: ResultCache,
    limits: Prefetch,
    found: Sequence[Candidate],
) -> tuple[Candidate, ...]:
    """Every candidate with its decision, the best first: what is saved for what it costs."""
    with left_out(client, "prefetch"):
        fresh = _freshness(client, cache, found)
        analyses = analyse(client, cache)
    seconds = read = 0.0
    planned = []
    for one in sorted(found, key=_worth, reverse=True):
        left = fresh.get(_identity(one), 0.0)
        decision = analyses[one.query.name].refusal or one.decision
        if decision == TAKEN and left is None:
            decision = "its arguments do not fit its parameters"
        elif decision == TAKEN and left and left > limits.pass_seconds:
            decision = "is still fresh"
        if decision == TAKEN:
            seconds += one.run_ms / 1000
            read += one.run_bytes
            if seconds > limits.budget_seconds or read > limits.budget_bytes:
                decision = "over the budget"
        planned.append(replace(one, fresh_seconds=left or 0.0, decision=decision))
    return tuple(planned)


def candidates(
    client: Client,
    settings: Settings,
    cache: ResultCache,
    limits: Prefetch,
    model: str = "prefetch_candidates",
) -> tuple[Candidate, ...]:
    """What the models say may be asked soon.

    Args:
        client: Of the target.
        settings: Whose database holds the models.
        cache: The named queries.
        limits: How far back the log is read.
        model: The view that says what may be asked.

    Raises:
        TreehouseError: The models are not built.
    """
    rows = read_model(client, settings, model, "share", _MOST)
    with left_out(client, "prefetch"):
        literals = _literals(client, settings, cache, limits) if rows else {}
    found = []
    for row in rows:
        query = cache.queries.get(row["name"])
        if query is None:
            continue
        known = {name: literals.get(key) for name, key in row["arguments"].items()}
        decision = row["decision"]
        if decision == TAKEN and set(query.parameters) != set(known):
            decision = "its parameters are others now"
        elif decision == TAKEN and None in known.values():
            decision = "its arguments are no longer in the log"
        arguments = {name: text for name, text in known.items() if text is not None}
        numbers = {name: float(row[name]) for name in ("share", "saved_ms", "run_ms", "run_bytes")}
        found.append(Candidate(query, arguments, **numbers, decision=decision))
    return tuple(found)


def _literals(
    client: Client, settings: Settings, cache: ResultCache, limits: Prefetch
) -> dict[int, str]:
    """The values that stand in calls of the log, by their keyed hashes."""
    origin = Logs.of(settings).relation(client, "query_log", QUERY_LOG)
    if origin is None:
        return {}
    raw = identifier(settings.raw_database)
    since = datetime.now(UTC) - timedelta(minutes=limits.recent_minutes)
    texts = client.query(
        call_statements.texts(origin, _MOST),
        parameters={"since": f"{since:%Y-%m-%d %H:%M:%S.%f}", "store": cache.database},
    ).result_rows
    calls = (call for (text,) in texts for call in calls_of(text, cache.database))
    values = sorted({value for call in calls for value in call.arguments.values()})
    keys = client.query(
        call_statements.hashes(raw, call_statements.strings(values)), settings=UNLOGGED
    ).result_rows[0][0]
    return dict(zip(keys, values, strict=True))


def _freshness(
    client: Client, cache: ResultCache, found: Sequence[Candidate]
) -> dict[tuple[str, ...], float | None]:
    """For how long the answer of each candidate will be read; None where there can't be one."""
    fresh = fresh_seconds(client, cache, answer_tables(client, cache)[0])
    named = [one for one in found if one.decision == TAKEN]
    hashes = argument_hash(client, cache)
    keys = client.query(
        f"select [{', '.join(_key(one, hashes) for one in named)}]::Array(Nullable(UInt64))",
        settings=UNLOGGED,
    ).result_rows[0][0]
    return {
        _identity(one): (
            None if key is None else fresh.get((one.query.name, one.query.user, key), 0.0)
        )
        for one, key in zip(named, keys, strict=True)
    }


def _key(one: Candidate, hashes: ArgumentHash) -> str:
    """SQL of the number by which the store finds the answer; null where there can't be one."""

    def typed(name: str, kind: str) -> str:
        return f"accurateCastOrNull({literal(one.arguments[name])}, {literal(kind)})"

    missing = [f"{typed(*parameter)} is null" for parameter in one.query.parameters.items()]
    return f"if({' or '.join(missing) or '0'}, null, {hashes.sql(one.query, typed)})"


def _worth(one: Candidate) -> tuple[float, float]:
    return one.saved_ms / max(one.run_ms, 1e-3), one.saved_ms


def _identity(one: Candidate) -> tuple[str, ...]:
    return (one.query.name, *(value for _, value in sorted(one.arguments.items())))
