"""BG/NBD with Gamma-Gamma, the field's standard for purchase logs, as a baseline.

Fader, Hardie, Lee: "Counting your customers" the easy way (2005), and Fader, Hardie: The
Gamma-Gamma model of monetary value (2013). The library `lifetimes` fits both.
"""

from __future__ import annotations

import io
import warnings
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from treehouse.clickhouse.client import identifier
from treehouse.project.errors import TreehouseError

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings
    from treehouse.spec import TrainingRows

Floats = NDArray[np.float64]
_PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)


def bg_nbd_gamma_gamma(client: Client, settings: Settings, data: TrainingRows) -> Floats:
    """Expected spend of each test row within the horizon; NaN for the other rows.

    It is fitted on all purchases before the test's snapshot day.

    Raises:
        TreehouseError: The library is not installed, or does not converge.
    """
    lifetimes = _import_lifetimes()
    frequency, recency, age, monetary, horizon = _summary(client, settings)
    repeat = (frequency > 0) & (monetary > 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        counts = _fitted(lifetimes, lifetimes.BetaGeoFitter, frequency, recency, age)
        money = _fitted(lifetimes, lifetimes.GammaGammaFitter, frequency[repeat], monetary[repeat])
        purchases = counts.conditional_expected_number_of_purchases_up_to_time(
            horizon, frequency, recency, age
        )
        spend = money.conditional_expected_average_profit(frequency, np.maximum(monetary, 1e-6))
    values = np.full(len(data.label), np.nan)
    values[data.rows("test")] = np.asarray(purchases, dtype=np.float64) * np.asarray(spend)
    return values


def _fitted(lifetimes: Any, fitter: Any, *columns: Floats) -> Any:
    """A fitter of the library under the weakest penalty for which it converges."""
    for penalty in _PENALTIES:
        try:
            with redirect_stdout(io.StringIO()):
                return fitter(penalizer_coef=penalty).fit(*columns)
        except lifetimes.utils.ConvergenceError:
            continue
    raise TreehouseError(
        f"{fitter.__name__} does not converge under any penalty.",
        value=f"{len(columns[0]):,} customers, penalties {', '.join(map(str, _PENALTIES))}",
    )


def _summary(client: Client, settings: Settings) -> tuple[Floats, ...]:
    """Repeat purchase days, day of the last, age, mean spend of a repeat day, horizon in days."""
    database = identifier(settings.database)
    result = client.query(
        f"""
        with
            test as (
                select distinct as_of as at
                from {database}.purchase_value_training_set
                where split = 'test'
            ),
            days as (
                select customer_id, purchase_day, toFloat64(sum(amount_usd)) as amount,
                    purchase_day = min(purchase_day) over (partition by customer_id) as is_first
                from {database}.stg_purchases
                where purchase_day < (select at from test)
                group by customer_id, purchase_day
            )
        select
            toFloat64(count() - 1) as frequency,
            toFloat64(max(purchase_day) - min(purchase_day)) as recency,
            toFloat64((select at from test) - min(purchase_day)) as age,
            ifNotFinite(avgIf(amount, not is_first), 0) as monetary,
            toFloat64((
                select any(horizon_end) - any(as_of)
                from {database}.purchase_value_snapshots
                where as_of = (select at from test)
            )) as horizon
        from days
        group by customer_id
        order by customer_id
        """,
        column_oriented=True,
    )
    return tuple(np.asarray(column, dtype=np.float64) for column in result.result_columns)


def _import_lifetimes() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import lifetimes
    except ImportError as error:
        raise TreehouseError(
            "The baseline BG/NBD needs the package lifetimes.",
            fix="pip install 'treehouse[demo]'",
        ) from error
    return lifetimes
