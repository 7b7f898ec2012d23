"""What came out: the rows of experiment_results and experiment_health, and a sentence about them.

The statistics are SQL: macros/statistics/experiments.sql.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clickhouse_connect.driver.exceptions import ClickHouseError

from treehouse.clickhouse.client import identifier
from treehouse.experiments.state import find_experiment
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import Settings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

Row = dict[str, Any]


@dataclass(frozen=True)
class Results:
    """What an experiment says so far.

    Attributes:
        health: Its row of experiment_health.
        rows: Its rows of experiment_results, the primary metric first.
    """

    health: Row
    rows: list[Row]

    @property
    def method(self) -> str:
        """By which it is decided: "always_valid" or "fixed"."""
        method: str = self.health["method"]
        return method

    @property
    def chosen(self) -> list[Row]:
        """One row for each metric and variant: the estimate of the narrower intervals."""
        cuped = {row["metric"] for row in self.rows if row["estimate"] == "cuped"}
        return [
            row for row in self.rows if (row["estimate"] == "cuped") == (row["metric"] in cuped)
        ]

    @property
    def verdicts(self) -> list[str]:
        """One sentence for each treatment, on the primary metric."""
        return [
            sentence(row, self.health, self.method)
            for row in self.chosen
            if row["is_primary"] and not row["is_control"]
        ]


def read_results(client: Client, settings: Settings, experiment: str) -> Results:
    """Health and results of one experiment, as of now.

    Raises:
        TreehouseError: There is no such experiment, or its views are not built.
    """
    find_experiment(client, settings, experiment)
    try:
        health = _rows(client, settings, "experiment_health", experiment)
        rows = _rows(client, settings, "experiment_results", experiment)
    except ClickHouseError as error:
        if "UNKNOWN_TABLE" not in str(error):
            raise
        raise TreehouseError(
            "The views of experiments are not built.",
            value=str(error).split(" In scope")[0].strip(),
            fix="./treehouse build -s +path:models/experiments",
        ) from error
    return Results(health[0], rows)


def _rows(client: Client, settings: Settings, view: str, experiment: str) -> list[Row]:
    order = "is_primary desc, metric, is_control desc, variant, estimate"
    found = client.query(
        f"select * from {identifier(settings.database)}.{view} "
        "where experiment = {experiment:String}"
        + (f" order by {order}" if view == "experiment_results" else ""),
        parameters={"experiment": experiment},
    )
    return list(found.named_results())


def interval(row: Row, method: str) -> tuple[float | None, float | None]:
    """The lift's interval by which the method decides."""
    prefix = "always_valid_lift" if method == "always_valid" else "lift"
    return row[f"{prefix}_low"], row[f"{prefix}_high"]


def p_value(row: Row, method: str) -> float | None:
    """The p-value by which the method decides."""
    name = "always_valid_p_value_holm" if method == "always_valid" else "p_value_holm"
    value: float | None = row[name]
    return value


def sentence(row: Row, health: Row, method: str) -> str:
    """What to make of one treatment."""
    who, metric, verdict = row["variant"], row["metric"], row["verdict"]
    if health["has_sample_ratio_mismatch"]:
        return f"{who}: no verdict while the sample ratio is wrong (see the warning)."
    nothing = {
        "no data": "nobody saw it yet, or nothing to divide by.",
        "too few units": "too few units to compare.",
        "no variance": f"{metric} is the same for every unit: there is nothing to compare.",
    }
    if verdict in nothing:
        return f"{who}: {nothing[verdict]}"
    low, high = interval(row, method)
    lift = f"{metric} {_percent(row['lift'])} ({_percent(low)} to {_percent(high)})"
    if row["lift"] is None:  # the control's mean is 0: no relative change
        lift = f"{metric} {row['difference']:+.4g}"
    if verdict == "waiting":
        return (
            f"{who}: wait; {health['units']:,} of {health['planned_units']:,} planned units are "
            "there, and a fixed test may be looked at only once."
        )
    if verdict == "undecided":
        finds = row["minimum_detectable_lift"]
        more = f"; so many units find {finds:.1%} or more" if finds is not None else ""
        return f"{who}: no difference shown yet, {lift}{more}."
    return f"{who} is {verdict}: {lift}, p = {p_value(row, method):.2g}."


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:+.1%}"
