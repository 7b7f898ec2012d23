"""How many units an experiment needs, from two numbers or from a metric's own history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from treehouse.clickhouse.client import identifier, literal
from treehouse.clickhouse.ddl import MACROS, render
from treehouse.experiments.definition import Definition
from treehouse.experiments.state import qualified
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import Settings, project_vars

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

_MACROS = MACROS / "statistics" / "experiments.sql"


@dataclass(frozen=True)
class Baseline:
    """What is known of a metric without an experiment.

    Attributes:
        mean: Of the metric over the units.
        deviation: Standard deviation over the units.
        correlation: With the same metric before the exposure; CUPED makes use of it.
        units: How many units that was measured on; 0 where it was given.
    """

    mean: float
    deviation: float
    correlation: float = 0.0
    units: int = 0


def required_units(client: Client, baseline: Baseline, plan: Definition) -> int:
    """Units in all variants together that find `minimum_lift` with the plan's alpha and power.

    The usual formula for two means of one variance, (z_alpha + z_power)^2 sigma^2 (1/n + 1/m) over
    the squared difference, for the smallest of the treatments; alpha is shared between treatments,
    and CUPED leaves 1 - correlation^2 of the variance (Deng, Xu, Kohavi and Walker 2013).

    Args:
        client: Of the target, which computes the quantiles.
        baseline: The metric without a change.
        plan: A completed definition.

    Raises:
        TreehouseError: The metric's mean is 0 or it does not vary.
    """
    if not abs(baseline.mean) > 0 or not baseline.deviation > 0:
        raise TreehouseError(
            "A relative change of this metric can't be planned.",
            value=f"mean {baseline.mean:g}, standard deviation {baseline.deviation:g}",
            expected="a mean that is not 0, and a metric that varies",
        )
    alpha = plan.alpha / (len(plan.weights) - 1)
    shares = 1 / plan.weights[0] + 1 / min(plan.weights[1:])
    variance = baseline.deviation**2 * (1 - baseline.correlation**2)
    quantiles = "+".join(
        render(_MACROS, "normal_quantile", value) for value in (alpha, 2 * (1 - plan.power))
    )
    needed = client.query(
        f"select toUInt64(ceil(pow(({quantiles}) / {plan.minimum_lift * baseline.mean!r}, 2) "
        f"* {variance * shares!r}))"
    ).result_rows[0][0]
    return int(needed)


def measure_baseline(
    client: Client, settings: Settings, metric: str, relation: str, unit: str, days: int
) -> Baseline:
    """A metric over the last `days` of its history, and its correlation with the days before.

    Args:
        client: Of the target.
        settings: With the names of the databases.
        metric: Of the var experiment_metrics: mean or rate.
        relation: Model or `database.table` of all who may take part; doing nothing counts as 0.
        unit: Its column of units.
        days: Length of the experiment.

    Raises:
        TreehouseError: The metric is a ratio or is not there, or nothing was measured.
    """
    known: dict[str, Any] = project_vars()["experiment_metrics"]
    kind = known.get(metric, {"kind": "unknown"}).get("kind", "mean")
    if kind not in ("mean", "rate"):
        raise TreehouseError(
            "This metric has no history to plan with.",
            value=f"{metric}: {kind}",
            expected="a mean or a rate of the var experiment_metrics",
            fix="give --mean and --deviation instead",
        )
    outcomes = f"{identifier(settings.database)}.experiment_outcomes"
    everybody = (
        f"(select distinct toString({identifier(unit)}) as unit "
        f"from {qualified(settings, relation)})"
    )
    value = "toFloat64(total > 0)" if kind == "rate" else "total"
    mean, deviation, correlation, units = client.query(
        f"""
        with (select max(happened_at) from {outcomes} where metric = {literal(metric)}) as newest,
        sums as (
            select
                units.unit as unit,
                sumIf(value, happened_at > newest - toIntervalDay({days})) as after,
                sumIf(value, happened_at <= newest - toIntervalDay({days})) as before
            from {everybody} as units
            left join (
                select * from {outcomes}
                where metric = {literal(metric)} and isFinite(value)
                    and happened_at > newest - toIntervalDay({2 * days})
            ) as outcomes on units.unit = outcomes.unit
            group by unit
        ),
        seen as (
            select arrayMap(total -> {value}, [after, before]) as pair from sums
        )
        select avg(pair[1]), stddevSampStable(pair[1]), corrStable(pair[1], pair[2]), count()
        from seen
        """
    ).result_rows[0]
    if units < 2:
        raise TreehouseError(
            "Too few units to plan with.", value=units, expected=f"units in {relation}.{unit}"
        )
    return Baseline(mean, deviation, correlation if correlation == correlation else 0.0, units)
