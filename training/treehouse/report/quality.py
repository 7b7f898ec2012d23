"""How good the version is: metrics against the rules it replaces, and its held-out rows in SQL."""

from __future__ import annotations

from typing import Any

from treehouse.clickhouse.client import identifier, literal
from treehouse.fit.baselines import rules
from treehouse.report.subject import Missing, Subject

_CURVE_STEPS = 50
_COHORTS = 60
_ENOUGH_IN_COHORT = 20


def metrics(subject: Subject) -> dict[str, Any]:
    """Metrics as they were at the publish, for the model, its baselines and the best possible.

    Returns:
        rows; contenders: name, kind ("model", "typical", "rule" or "best"), metric to number, each
        of one answer, and first of what predict_<use_case> answers; and left_out, what could not
        be fitted: name to why.
    """
    stored = subject.version.metrics
    if "model" not in stored:
        raise Missing("This version came without metrics.")
    function = f"predict_{subject.spec.use_case}"
    name = f"{function} (the mean)" if "typical" in stored else function
    contenders = [{"name": name, "kind": "model", "metrics": stored["model"]}]
    if "typical" in stored:
        typical = {"name": "typical (the median)", "kind": "typical", "metrics": stored["typical"]}
        contenders.append(typical)
    contenders += [
        {"name": name, "kind": "rule", "metrics": values}
        for name, values in stored.get("baselines", {}).items()
    ]
    if "best_possible" in stored:
        best = {"name": "best possible", "kind": "best", "metrics": stored["best_possible"]}
        contenders.append(best)
    left_out = stored.get("not_fitted", {})
    return {"rows": stored.get("rows"), "contenders": contenders, "left_out": left_out}


def calibration(subject: Subject) -> list[dict[str, Any]]:
    """Tenths of the held-out rows, highest predictions first: predicted, actual, coverage.

    `error` is the standard error of the mean of the actual values; `inside` is null without an
    interval.

    Raises:
        Missing: The model decides among classes; see `confusion`.
    """
    _need_amounts(subject)
    heads = subject.contract.heads
    inside = "cast(null, 'Nullable(Bool)')"
    if {"low", "high"} <= set(heads):
        low, high = (f"answers[{heads.index(name) + 2}]" for name in ("low", "high"))
        inside = f"actual between {low} and {high}"
    return subject.query(
        f"""
        with
            scored as ({subject.held_out()}),
            ordered as (
                select
                    *,
                    {inside} as is_inside,
                    {_part("", "predicted", 10)} as tenth
                from scored
            )
        select
            toUInt8(tenth + 1) as tenth,
            count() as rows,
            avgWeighted(ordered.predicted, row_weight) as predicted,
            avgWeighted(ordered.actual, row_weight) as actual,
            stddevSamp(ordered.actual) / sqrt(count()) as error,
            avg(is_inside) as inside
        from ordered
        group by tenth
        order by tenth
        """
    )


def gain(subject: Subject) -> list[dict[str, Any]]:
    """What share of the total the best-ranked rows bring, by the model and by each rule.

    Returns:
        For each contender: name, kind ("model", "rule" or "best", a perfect order), and curve,
        the cumulative shares of the total at 0, 2, ... 100 % of the rows. Equal predictions are
        in random order.

    Raises:
        Missing: The model decides among classes.
    """
    _need_amounts(subject)
    answers = rules(subject.spec)
    columns = [f"{sql} as {identifier(f'rule {i}')}" for i, sql in enumerate(answers.values())]
    named = [("this model", "predicted"), ("perfect order", "actual")]
    named += [(name, identifier(f"rule {i}")) for i, name in enumerate(answers)]
    pairs = ", ".join(f"({literal(name)}, toFloat64({sql}))" for name, sql in named)
    rows = subject.query(
        f"""
        with
            scored as ({subject.held_out(*columns)}),
            ordered as (
                select
                    contender.1 as name,
                    actual * row_weight as amount,
                    {_part("partition by contender.1", "contender.2", _CURVE_STEPS)} as step
                from scored
                array join [{pairs}] as contender
            ),
            steps as (
                select
                    name,
                    step,
                    sum(ordered.amount) as amount
                from ordered
                group by name, step
            )
        select
            name,
            arraySort(part -> part.1, groupArray((step, amount))).2 as amounts,
            arrayCumSum(amounts) as sums,
            arrayConcat([0.], arrayMap(s -> if(sums[-1] = 0, 0, s / sums[-1]), sums)) as curve
        from steps
        group by name
        """
    )
    curves = {row["name"]: row["curve"] for row in rows}
    kinds = {"this model": "model", "perfect order": "best"}
    return [
        {"name": name, "kind": kinds.get(name, "rule"), "curve": curves[name]} for name, _ in named
    ]


def confusion(subject: Subject) -> list[dict[str, Any]]:
    """Held-out rows by the class that is: `is_class`, and `decided`, the rows decided for each.

    Raises:
        Missing: The model does not decide among classes.
    """
    classes = subject.spec.classes
    if not classes:
        raise Missing("")
    names = ", ".join(map(literal, classes))
    return subject.query(
        f"""
        select
            [{names}][toUInt8(actual) + 1] as is_class,
            sumForEach(arrayMap(i -> toUInt64(i = predicted), range({len(classes)}))) as decided
        from ({subject.held_out()})
        where actual >= 0
        group by is_class
        order by indexOf([{names}], is_class)
        """
    )


def _part(partition: str, by: str, parts: int) -> str:
    """SQL of the number of a row's part, from 0, of parts of equal weight, the highest first."""
    window = f"{partition} order by {by} desc, row_key rows between unbounded preceding and"
    before = f"(sum(row_weight) over ({window} current row) - row_weight)"
    share = f"{before} / sum(row_weight) over ({partition})"
    return f"toUInt8(least(floor({parts} * {share}), {parts - 1}))"


def _need_amounts(subject: Subject) -> None:
    if subject.spec.task in ("classes", "sequence"):
        raise Missing("")


def cohorts(subject: Subject) -> dict[str, Any]:
    """Predicted against actual totals of the largest cohorts of the held-out rows.

    Returns:
        by (what makes a cohort), and cohorts: name, rows, predicted, actual.
    """
    spec = subject.spec
    if not spec.cohort or spec.task in ("classes", "sequence"):
        raise Missing("")
    names = ", ".join(f"toString({sql})" for sql in spec.cohort)
    rows = subject.query(
        f"""
        select
            arrayStringConcat([{names}], ', ') as name,
            count() as rows,
            sum(scored.predicted) as predicted,
            sum(scored.actual) as actual
        from ({subject.held_out()}) as scored
        group by name
        having rows >= {_ENOUGH_IN_COHORT}
        order by rows desc, name
        limit {_COHORTS}
        """
    )
    if len(rows) < 3:
        raise Missing(f"Fewer than 3 cohorts have {_ENOUGH_IN_COHORT} held-out {subject.who}.")
    return {"by": ", ".join(spec.cohort), "cohorts": rows}
