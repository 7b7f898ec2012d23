"""Two versions side by side: how they were fitted, what they measure, what they answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from treehouse.clickhouse.client import identifier
from treehouse.registry.holdout import CHAMPION, compare
from treehouse.registry.scorer_call import KINDS, Scored, answers_sql
from treehouse.registry.statistics import training_columns, training_set
from treehouse.registry.versions import Version, find_version
from treehouse.spec import load_spec

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings

Pairs = dict[str, tuple[Any, Any]]
_TRAINING = (
    "created_at", "training_from", "training_to", "training_rows", "training_fingerprint",
    "holdout_from", "holdout_rows", "spec_hash", "bytes", "state",
)  # fmt: skip


def diff(client: Client, settings: Settings, model: str, one: int, other: int) -> dict[str, Any]:
    """Everything that two versions differ in.

    Returns:
        Pairs of values, of the one and of the other version: `training`, `libraries` and
        `parameters` that differ; `metrics` of the test rows of each; `importance` of each
        feature. `features` by "only in": names. `answers`: see `_answers`. `loss`: the paired
        comparison on the test rows of the present training set, None where that can't be had.

    Raises:
        TreehouseError: There is no such version.
    """
    a, b = (find_version(client, settings, model, number) for number in (one, other))
    names = [{name for name, _ in version.features} for version in (a, b)]
    return {
        "model": model,
        "versions": (one, other),
        "training": _changed(
            {n: getattr(a, n) for n in _TRAINING}, {n: getattr(b, n) for n in _TRAINING}
        ),
        "libraries": _changed(a.libraries, b.libraries),
        "parameters": _changed(leaves(a.parameters), leaves(b.parameters)),
        "features": {
            f"only in {one}": sorted(names[0] - names[1]),
            f"only in {other}": sorted(names[1] - names[0]),
        },
        "metrics": _both(leaves(a.metrics), leaves(b.metrics)),
        "importance": _importance(client, settings, a, b),
        **_on_rows(client, settings, a, b),
    }


def leaves(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by their path; lists are left out."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= leaves(value, f"{prefix}{name}.")
        elif not isinstance(value, list):
            found[prefix + name] = value
    return found


def _changed(a: Mapping[str, Any], b: Mapping[str, Any]) -> Pairs:
    return {name: pair for name, pair in _both(a, b).items() if pair[0] != pair[1]}


def _both(a: Mapping[str, Any], b: Mapping[str, Any]) -> Pairs:
    return {name: (a.get(name), b.get(name)) for name in dict.fromkeys([*a, *b])}


def _importance(client: Client, settings: Settings, a: Version, b: Version) -> Pairs:
    rows = client.query(
        f"""
        select
            name,
            sumIf(importance, version = {a.version}) as one,
            sumIf(importance, version = {b.version}) as other
        from {identifier(settings.registry_database)}.statistics
        where
            model = {{model:String}} and role = 'feature'
            and version in ({a.version}, {b.version})
        group by name
        order by greatest(one, other) desc, name
        """,
        parameters={"model": a.model},
    ).result_rows
    return {name: (one, other) for name, one, other in rows}


def _on_rows(client: Client, settings: Settings, a: Version, b: Version) -> dict[str, Any]:
    """What both answer: on the test rows of the training set, else on golden rows, if at all."""
    nothing = {"rows": None, "answers": None, "loss": None}
    if "collected" in (a.state, b.state):
        return nothing
    ours, theirs = Scored.of_version(a), Scored.of_version(b)
    columns = training_columns(client, settings, a.model)
    if ours and theirs and columns and ours.columns | theirs.columns <= columns:
        spec = load_spec(a.model)
        table = f"{training_set(settings, spec.contract)} where split = 'test'"
        confidence = spec.gates.confidence
        loss = compare(client, settings, spec, ours, theirs, confidence=confidence)[CHAMPION]
        answers = _answers(client, ours.answers(), theirs.answers(), table)
        return {"rows": "test rows", "answers": answers, "loss": asdict(loss)}
    if a.contract == b.contract:
        table = f"{identifier(settings.registry_database)}.golden_rows where bundle = {a.bundle}"
        one, other = (answers_sql(v.bundle, KINDS, has_networks=bool(v.networks)) for v in (a, b))
        answers = _answers(client, one, other, table)
        return {"rows": f"golden rows of {a.version}", "answers": answers, "loss": None}
    return nothing


def _answers(client: Client, ours: str, theirs: str, rows: str) -> dict[str, Any]:
    """Of the first head: rows, how many answers are equal, both means, the mean and the largest
    absolute difference, and the rank correlation; of the finite answers."""
    result = client.query(
        f"""
        with pairs as (select {ours}[2] as one, {theirs}[2] as other from {rows})
        select
            count() as rows,
            countIf(one = other) as equal,
            avg(one) as mean_one,
            avg(other) as mean_other,
            avg(abs(one - other)) as mean_difference,
            max(abs(one - other)) as largest_difference,
            rankCorr(one, other) as rank_correlation
        from pairs
        where isFinite(one) and isFinite(other)
        """
    )
    return dict(next(iter(result.named_results())))
