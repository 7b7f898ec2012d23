"""True values agree with what the processes do when they are run again and again."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from scipy import integrate, stats

from treehouse.fit.deviance import deviance_scale, mean_deviance
from treehouse.simulation.app import catalog
from treehouse.simulation.app import parameters as p
from treehouse.simulation.app.activity import activity
from treehouse.simulation.app.blocks import Block
from treehouse.simulation.app.future import Traits, chance_to_pay, draw_revenue, mean_purchases
from treehouse.simulation.app.generate import generate, revenue_cents
from treehouse.simulation.app.posterior import posterior
from treehouse.simulation.app.purchases import purchases
from treehouse.simulation.app.truth import truth
from treehouse.simulation.app.world import weekdays, world

END = date(2026, 6, 30)
BLOCKS = 24
SIGMAS = 4.5
"""Band of every comparison, in standard errors."""


@pytest.fixture(scope="module")
def blocks() -> list[Block]:
    return [generate(p.Parameters(), 5, END, number) for number in range(BLOCKS)]


@pytest.fixture(scope="module")
def values(blocks: list[Block]) -> dict[str, np.ndarray]:
    parts = [truth(block, 10**7) for block in blocks]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def unbiased(actual: np.ndarray, expected: np.ndarray) -> bool:
    error = np.asarray(actual, float) - expected
    return bool(abs(error.mean()) <= SIGMAS * error.std() / np.sqrt(error.size))


def by_size(forecast: np.ndarray) -> list[np.ndarray]:
    """Rows in groups of forecasts of about a size: the top 1 %, the next 4 % and 15 %, and all.

    The rest alone would say little: so few of them pay that the band can't be estimated.
    """
    order = np.argsort(-forecast)
    cuts = [round(share * order.size) for share in (0.01, 0.05, 0.2)]
    return [*np.split(order, cuts)[:3], order]


def test_exposure_table_is_the_sum_over_days() -> None:
    the_world = world(p.Parameters())
    index = np.linspace(-3.017, 3.017, 41)
    days = np.arange(8, 91)
    for weekday in range(7):
        of_day = weekdays(np.array(weekday), days)
        chance = the_world.active_chance(index[:, None]) * np.take(catalog.WEEKDAY_ACTIVITY, of_day)
        alive = the_world.log_survival(days, index[:, None]) - the_world.log_survival(
            8, index[:, None]
        )
        direct = (np.exp(alive) * chance * np.take(catalog.WEEKDAY_SPENDING, of_day)).sum(axis=1)
        table = the_world.future_exposure(np.full(index.size, weekday), index)
        np.testing.assert_allclose(table, direct, rtol=1e-4)  # linear between points 0.02 apart


@pytest.mark.parametrize(("mean", "sd"), [(1.0, 0.5), (3.5, 0.7), (5.5, 0.4)])
def test_mean_amount_is_the_integral(mean: float, sd: float) -> None:
    the_world = world(p.Parameters())
    cap = the_world.parameters.spending.max_amount_usd

    def integrand(z: float) -> float:
        return float(min(np.exp(mean + sd * z), cap) * stats.norm.pdf(z))

    kink = (np.log(cap) - mean) / sd
    expected, _ = integrate.quad(integrand, -10, 10, points=[min(kink, 9.9)], limit=200)
    assert the_world.mean_amount(np.array(mean), sd) == pytest.approx(expected, rel=1e-6)


def test_prior_is_the_mean_of_many_lives(blocks: list[Block]) -> None:
    """The same users live 60 times, by the processes themselves."""
    block = blocks[0]
    expected = truth(block, 10**7)["prior_d90_ltv"]
    lives = []
    for life in range(60):
        again = Block(block.world, block.first_day, 1000 + life, block.number)
        again.users = block.users
        activity(again, again.stream("activity"))
        purchases(again, again.stream("purchases"))
        lives.append(revenue_cents(again)[:, :90].sum(axis=1) / 100)
    mean, spread = np.mean(lives, axis=0), np.std(lives, axis=0)
    error = np.sqrt(np.sum(spread**2 / len(lives)))
    assert abs(mean.sum() - expected.sum()) < SIGMAS * error
    assert error < 0.05 * expected.sum()
    often = expected > 20  # users by themselves, where 60 lives are enough for a normal error
    score = (mean - expected)[often] / (spread[often] / np.sqrt(len(lives)))
    assert often.sum() > 50
    assert score.std() < 1.5


def test_draws_agree_with_closed_forms() -> None:
    the_world = world(p.Parameters())
    index, views = np.meshgrid([-1.0, 0.5, 2.0], [0.05, 0.4, 3.0])
    some = Traits(
        weekday=np.arange(9) % 7,
        index=index.ravel(),
        views=views.ravel(),
        price=np.linspace(0.5, 4.0, 9),
    )
    draws = 20_000
    rows = np.repeat(np.arange(9), draws)
    revenue = draw_revenue(the_world, some.take(rows), np.random.default_rng(3)).reshape(9, draws)
    amount = the_world.mean_amount(some.price, the_world.parameters.spending.price_sd)
    means = mean_purchases(the_world, some) * amount
    chances = chance_to_pay(the_world, some)
    for row in range(9):
        assert unbiased(revenue[row], means[row]), row
        assert unbiased(revenue[row] > 0, chances[row]), row


@pytest.mark.slow
def test_ideal_and_best_are_calibrated(values: dict[str, np.ndarray]) -> None:
    """What came, by the processes, is on average what was expected, for large and small."""
    for forecast in ("prior", "ideal", "best"):
        expected = values[f"{forecast}_d90_ltv"]
        for group in by_size(expected):
            assert unbiased(values["realised_d90_ltv"][group], expected[group]), forecast


def test_pay_chance_is_calibrated(values: dict[str, np.ndarray]) -> None:
    pays = values["realised_d90_ltv"] > values["known_d7_ltv"]
    chance = values["ideal_d8_d90_pay_chance"]
    for low, high in ((0, 0.01), (0.01, 0.1), (0.1, 0.5), (0.5, 0.9), (0.9, 1)):
        group = (chance > low) & (chance <= high)
        error = np.sqrt(np.sum(chance[group] * (1 - chance[group])))
        assert abs(pays[group].sum() - chance[group].sum()) < SIGMAS * error
        assert group.sum() > 300


def test_medians_split_in_half(values: dict[str, np.ndarray]) -> None:
    """Where the median is above what is known, half of the outcomes are above it."""
    for forecast in ("ideal", "best"):
        median = values[f"{forecast}_median_d90_ltv"]
        rest = median > values["known_d7_ltv"]
        above = (values["realised_d90_ltv"] > median)[rest]
        assert rest.sum() > 500
        assert above.mean() == pytest.approx(0.5, abs=SIGMAS * 0.5 / np.sqrt(rest.sum()) + 0.01)


def test_who_knows_more_errs_less(values: dict[str, np.ndarray]) -> None:
    actual = values["realised_d90_ltv"]
    known = values["known_d7_ltv"]

    def absolute(name: str) -> float:
        return float(np.abs(actual - values[name]).mean())

    multiplied = known * actual.sum() / known.sum()
    assert absolute("ideal_median_d90_ltv") < absolute("best_median_d90_ltv")
    assert absolute("best_median_d90_ltv") < np.abs(actual - known).mean()
    assert absolute("best_median_d90_ltv") < absolute("best_d90_ltv")
    ideal, best = values["ideal_d90_ltv"], values["best_d90_ltv"]
    # Proper for the mean, as the squared error is, which a few whales would decide.
    forecasts = (ideal, best, multiplied, known)
    scale = deviance_scale(actual)
    errors = [mean_deviance(actual, forecast, scale) for forecast in forecasts]
    assert errors == sorted(errors)


def test_posterior_of_being_alive_is_calibrated(blocks: list[Block]) -> None:
    chance, alive = [], []
    for block in blocks[:8]:
        after = posterior(block)
        chance.append((after.weight * after.alive).sum(axis=1))
        alive.append(block.life.lifetime > 7)
    chances, alives = np.concatenate(chance), np.concatenate(alive)
    edges = np.quantile(chances, np.linspace(0, 1, 11)[1:-1])
    group = np.searchsorted(edges, chances)
    for number in np.unique(group):
        assert unbiased(alives[group == number], chances[group == number]), number
    assert chances[alives].mean() > chances[~alives].mean() + 0.3


def test_posterior_of_engagement_and_rate_is_calibrated(blocks: list[Block]) -> None:
    for block in blocks[:8]:
        after = posterior(block)
        np.testing.assert_allclose(after.weight.sum(axis=1), 1.0)
        index = (after.weight * after.index).sum(axis=1)
        views = (after.weight * after.views_shape[:, None] / after.views_rate).sum(axis=1)
        assert unbiased(block.users.index, index)
        assert unbiased(block.users.views, views)
        assert unbiased(block.users.price, after.price)
        spread = np.sqrt((after.weight * (after.index - index[:, None]) ** 2).sum(axis=1))
        score = (block.users.index - index) / spread
        assert score.std() == pytest.approx(1.0, abs=0.06)
        assert spread.mean() < 0.8  # a week tells much of what the attributes do not


def test_the_future_tells_the_best_forecast_nothing(blocks: list[Block]) -> None:
    """What happens after day 7 changes no forecast but for the part that the ideal one sees."""
    block = blocks[1]
    late = block.sessions.day > 7
    before = truth(block, 10**7)
    changed = replace(block.sessions, log_seconds=block.sessions.log_seconds + 5 * late)
    active = block.life.active.copy()
    active[:, 7:] = False
    again = Block(block.world, block.first_day, block.seed, block.number)
    again.users, again.sessions = block.users, changed
    again.life = replace(block.life, active=active)
    again.events = [
        replace(events, cents=np.where(late[events.session], 10**6, events.cents))
        for events in block.events
    ]
    after = truth(again, 10**7)
    for name in ("best_d90_ltv", "best_median_d90_ltv", "ideal_d90_ltv"):
        np.testing.assert_array_equal(before[name], after[name], err_msg=name)
    assert after["realised_d90_ltv"].sum() > before["realised_d90_ltv"].sum()
