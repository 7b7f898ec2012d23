"""A model beside its baselines and another version on the test rows, row by row, in SQL.

The engine answers all of them, takes the difference of the losses in each row, and gives the mean
difference with its confidence interval: rows that are hard for everybody cancel out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from treehouse.clickhouse.client import identifier, literal
from treehouse.fit.baselines import label_sql, rules
from treehouse.fit.deviance import scale_sql
from treehouse.fit.splits import OWN_SPLIT, fitted_rows
from treehouse.registry.losses import model_loss, rule_losses
from treehouse.registry.statistics import training_set

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.contract import Contract
    from treehouse.project.settings import Settings
    from treehouse.registry.scorer_call import Scored
    from treehouse.spec import Spec

CHAMPION = ""
"""In place of a baseline's name: the other version."""


@dataclass(frozen=True)
class Comparison:
    """A model's mean loss and another's on the same rows.

    Attributes:
        rows: How many rows were compared.
        ours: Mean loss of the model.
        theirs: Mean loss of the other.
        low: Least mean of ours - theirs that the rows allow, with the confidence asked for.
        high: The greatest.
        error: Standard error of the mean of ours - theirs.
    """

    rows: int
    ours: float
    theirs: float
    low: float
    high: float
    error: float

    def share(self, difference: float) -> float:
        """A difference as a share of the other's loss."""
        return difference / self.theirs if self.theirs else difference


def compare(
    client: Client,
    settings: Settings,
    spec: Spec,
    model: Scored,
    other: Scored | None = None,
    *,
    since: datetime | None = None,
    confidence: float,
) -> dict[str, Comparison]:
    """Compare a model with its baselines in SQL and, if given, with another version.

    Args:
        client: Of an engine that holds the training set and the model files.
        settings: Where they are.
        spec: Says what the loss is.
        model: The model file that is judged.
        other: The version beside it.
        since: Only rows from this time on count against the other version.
        confidence: Of the interval, Student's for one sample of differences.

    Returns:
        By the baseline's name, and `CHAMPION` for the other version; without those that no row
        could be compared with.
    """
    pairs = [
        f"({literal(name)}, {', '.join(rule_losses(spec, '_model', f'_rule_{i}'))})"
        for i, name in enumerate(rules(spec))
    ]
    if other:
        pairs.append(
            f"({literal(CHAMPION)}, {model_loss(spec, '_model')}, {model_loss(spec, '_other')})"
        )
    late = f"_time >= {literal(f'{since:%F %T.%f}')}" if since else "1"
    result = client.query(
        f"""
        with answered as ({_answered_sql(settings, spec, model, other)}),
        losses as (
            select arrayJoin([{", ".join(pairs)}]) as pair, _weight, _time from answered
        )
        select
            pair.1 as name,
            count() as rows,
            avg(pair.2 * _weight) as ours,
            avg(pair.3 * _weight) as theirs,
            studentTTestOneSample({confidence})((pair.2 - pair.3) * _weight, 0.) as difference,
            difference.3 as low,
            difference.4 as high,
            stddevSamp((pair.2 - pair.3) * _weight) / sqrt(rows) as error
        from losses
        where pair.1 != {literal(CHAMPION)} or {late}
        group by name
        """
    )
    return {
        row["name"]: Comparison(**{name: row[name] for name in Comparison.__dataclass_fields__})
        for row in result.named_results()
    }


def holdout(client: Client, settings: Settings, contract: Contract) -> tuple[datetime, int]:
    """Time of the first test row, and their number."""
    time = f"toDateTime64({identifier(contract.time)}, 3, 'UTC')"
    first, rows = client.query(
        f"select min({time}), count() from {training_set(settings, contract)} where split = 'test'"
    ).result_rows[0]
    return first, int(rows)


def _answered_sql(settings: Settings, spec: Spec, model: Scored, other: Scored | None) -> str:
    """SQL of the test rows: what happened, what each baseline says, what the models answer.

    Baselines are windows over all rows, so they come before the test rows are chosen; they are
    fitted to the rows that models are fitted to.
    """
    contract = spec.contract
    named = {f"rule_{i}": sql for i, sql in enumerate(rules(spec).values())}
    added = named | {
        "label": label_sql(spec),
        "scale": scale_sql("treehouse_label", OWN_SPLIT),
        "time": f"toDateTime64({identifier(contract.time)}, 3, 'UTC')",
        "raw_weight": identifier(contract.weight) if contract.weight else "1",
    }
    answers = {"model": f"arraySlice({model.answers()}, 2)"}
    answers |= {"other": f"arraySlice({other.answers()}, 2)"} if other else {}
    answers["weight"] = "treehouse_raw_weight / avg(treehouse_raw_weight) over ()"
    # Nothing of ours may be called as a column is, until the models have answered.
    return f"""
        select {", ".join(f"treehouse_{name} as _{name}" for name in (*added, *answers))}
        from (
            select
                {", ".join(f"treehouse_{name}" for name in added)},
                {", ".join(f"{sql} as treehouse_{name}" for name, sql in answers.items())}
            from (
                select *, {", ".join(f"{sql} as treehouse_{name}" for name, sql in added.items())}
                from {fitted_rows(training_set(settings, contract), spec.fitted)}
            )
            where split = 'test'
        )
    """
