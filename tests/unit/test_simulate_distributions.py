"""The simulated platform has the distributions that its parameters promise."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import numpy as np
import pytest

from treehouse.simulation.app import catalog
from treehouse.simulation.app import parameters as p
from treehouse.simulation.app.blocks import Block
from treehouse.simulation.app.generate import event_rows, generate, revenue_cents
from treehouse.simulation.app.world import CREATIVES, DEVICE_TYPES, OS_NAMES, weekdays

END = date(2026, 6, 30)
BLOCKS = 10
SIGMAS = 4.5
"""Band of every comparison, in standard errors: one in 150,000 if all is right."""


@pytest.fixture(scope="module")
def blocks() -> list[Block]:
    return [generate(p.Parameters(), 11, END, number) for number in range(BLOCKS)]


def users(blocks: list[Block], name: str) -> np.ndarray:
    return np.concatenate([getattr(block.users, name) for block in blocks])


def close(values: np.ndarray, expected: np.ndarray | float) -> bool:
    """Whether the mean of values - expected is 0 within the band."""
    error = np.asarray(values, float) - expected
    return bool(abs(error.mean()) < SIGMAS * error.std() / np.sqrt(error.size))


def d90(blocks: list[Block]) -> np.ndarray:
    return np.concatenate([revenue_cents(block)[:, :90].sum(axis=1) / 100 for block in blocks])


def test_installs_grow_with_weekends_and_holidays(blocks: list[Block]) -> None:
    acquisition = p.Parameters().acquisition
    day, weekday = users(blocks, "install_day"), users(blocks, "weekday")
    first = blocks[0].first_day
    count = np.bincount(day - first, minlength=acquisition.days)
    last, before = count[-63:].sum(), count[-133:-70].sum()  # whole weeks, 70 days apart
    growth = np.log(last / before)
    expected = acquisition.growth * 70 / acquisition.days
    assert growth == pytest.approx(expected, abs=SIGMAS * np.sqrt(1 / last + 1 / before))
    weekend = np.log((weekday >= 5).sum() / 2 / ((weekday < 5).sum() / 5))
    error = np.sqrt(1 / (weekday >= 5).sum() + 1 / (weekday < 5).sum())
    assert weekend == pytest.approx(acquisition.weekend, abs=SIGMAS * error)
    peak = (date(2025, 12, 27) - date(1970, 1, 1)).days - first
    holidays = count[peak - 3 : peak + 4]
    around = np.concatenate([count[peak - 31 : peak - 17], count[peak + 18 : peak + 32]])
    assert holidays.mean() > 1.2 * around.mean()


def test_creative_styles_have_their_shares(blocks: list[Block]) -> None:
    creative = users(blocks, "creative")
    paid = creative[creative > 0]
    for style in catalog.STYLES:
        of_style = [i for i, name in enumerate(CREATIVES) if name.endswith(style.name)]
        assert close(np.isin(paid, of_style), style.share), style.name


def test_campaigns_drift(blocks: list[Block]) -> None:
    """The share of a growing campaign is larger late than early, of a shrinking one smaller."""
    campaign, day = users(blocks, "campaign"), users(blocks, "install_day")
    late = day > np.median(day)
    for code, expected in enumerate(catalog.CAMPAIGNS):
        change = (campaign[late] == code).mean() - (campaign[~late] == code).mean()
        if abs(expected.growth) >= 0.3:
            assert np.sign(change) == np.sign(expected.growth), expected.id


def test_platforms_have_the_shares_of_their_country(blocks: list[Block]) -> None:
    country, platform = users(blocks, "country"), users(blocks, "platform")
    web = p.Parameters().acquisition.web_share
    assert close(platform == catalog.PLATFORMS.index("web"), web)
    for code, expected in enumerate(catalog.COUNTRIES):
        of_country = platform[country == code] == catalog.PLATFORMS.index("ios")
        assert close(of_country, (1 - web) * expected.ios_share), expected.code


def test_devices_and_versions_belong_to_their_platform(blocks: list[Block]) -> None:
    for code, name in enumerate(catalog.PLATFORMS):
        here = users(blocks, "platform") == code
        devices = {DEVICE_TYPES[d] for d in np.unique(users(blocks, "device")[here])}
        assert devices == {device.name for device in catalog.DEVICES if device.platform == name}
        versions = {OS_NAMES[v] for v in np.unique(users(blocks, "os")[here])}
        expected = {f"{name}_{v}" if name != "web" else v for v in catalog.OS_VERSIONS[name]}
        assert versions == expected


def test_installs_follow_the_clock_of_the_country(blocks: list[Block]) -> None:
    offset = np.array([country.utc_offset for country in catalog.COUNTRIES])
    local = (users(blocks, "install_ms") // 3_600_000 + offset[users(blocks, "country")]) % 24
    weights = np.array(catalog.DIURNAL) / sum(catalog.DIURNAL)
    for hour in range(24):
        assert close(local == hour, weights[hour]), hour


def test_lifetimes_are_weibull(blocks: list[Block]) -> None:
    lifetime = np.concatenate([block.life.lifetime for block in blocks])
    index, world = users(blocks, "index"), blocks[0].world
    for day in (2, 8, 30, 90):
        assert close(lifetime >= day, np.exp(world.log_survival(day, index))), day


def test_active_days_follow_engagement_and_weekday(blocks: list[Block]) -> None:
    for day in (2, 7, 30):
        came, chance = [], []
        for block in blocks:
            alive = block.life.lifetime >= day
            factor = np.take(catalog.WEEKDAY_ACTIVITY, weekdays(block.users.weekday[alive], day))
            came.append(block.life.active[alive, day - 1])
            chance.append(block.world.active_chance(block.users.index[alive]) * factor)
        assert close(np.concatenate(came), np.concatenate(chance)), day


def per_block(blocks: list[Block]) -> Iterator[tuple[Block, np.ndarray, np.ndarray]]:
    for block in blocks:
        rows = event_rows(block, 10**7)
        yield block, rows.user - block.first, rows.name


def test_sessions_and_plays_are_poisson(blocks: list[Block]) -> None:
    more, more_expected, plays, plays_expected = [], [], [], []
    for block, user, name in per_block(blocks):
        a, index = block.world.parameters.activity, block.users.index
        days = block.life.active.sum(axis=1)
        sessions = np.bincount(block.sessions.user, minlength=p.BLOCK_USERS)
        more.append(sessions - days)
        more_expected.append(days * np.exp(a.sessions_log + a.sessions_slope * index))
        played = np.isin(name, (p.LEVEL_COMPLETE, p.AD_VIEW))
        plays.append(np.bincount(user[played], minlength=p.BLOCK_USERS))
        plays_expected.append(sessions * np.exp(a.play_log + a.play_slope * index))
    assert close(np.concatenate(more), np.concatenate(more_expected))
    assert close(np.concatenate(plays), np.concatenate(plays_expected))


def test_shop_views_convert(blocks: list[Block]) -> None:
    spending = p.Parameters().spending
    views, expected, purchases = [], [], []
    for block, user, name in per_block(blocks):
        views.append(np.bincount(user[name == p.SHOP_VIEW], minlength=p.BLOCK_USERS))
        purchases.append(np.bincount(user[name == p.PURCHASE], minlength=p.BLOCK_USERS))
        days = np.arange(1, block.life.active.shape[1] + 1)
        weekday = weekdays(block.users.weekday[:, None], days)
        spending_days = (block.life.active * np.take(catalog.WEEKDAY_SPENDING, weekday)).sum(axis=1)
        expected.append(block.users.views * spending_days)
    assert close(np.concatenate(views), np.concatenate(expected))
    assert close(np.concatenate(purchases), spending.conversion * np.concatenate(views))


def test_rates_and_prices_have_their_means(blocks: list[Block]) -> None:
    spending = p.Parameters().spending
    assert close(users(blocks, "views") / users(blocks, "mean_views"), 1.0)
    deviation = users(blocks, "price") - users(blocks, "mean_price")
    assert close(deviation, 0.0)
    assert deviation.std() == pytest.approx(spending.price_sd_users, rel=0.02)


def test_platform_is_plausible(blocks: list[Block]) -> None:
    """The figures that the documentation gives."""
    worth = d90(blocks)
    ordered = np.sort(worth)[::-1]
    events = sum(event_rows(block, 10**7, END).user.size for block in blocks)
    assert 18 < events / worth.size < 23
    assert 0.06 < (worth > 0).mean() < 0.09
    assert 2 < worth.mean() < 4.5
    assert 0.5 < ordered[: worth.size // 100].sum() / worth.sum() < 0.8
    active = np.concatenate([block.life.active for block in blocks]).mean(axis=0)
    assert 0.25 < active[1] < 0.35
    assert 0.12 < active[6] < 0.18
    assert 0.03 < active[29] < 0.06


def test_engaged_users_come_back_and_pay_more(blocks: list[Block]) -> None:
    """By fifths of the index: monotone in active days and in payers."""
    index = users(blocks, "index")
    fifth = np.searchsorted(np.quantile(index, (0.2, 0.4, 0.6, 0.8)), index)
    days = np.concatenate([block.life.active[:, :90].sum(axis=1) for block in blocks])
    for values in (days, d90(blocks) > 0):
        means = [values[fifth == i].mean() for i in range(5)]
        assert means == sorted(means)
        assert means[4] > 2 * means[0]


def test_the_reward_creative_brings_users_who_do_not_pay(blocks: list[Block]) -> None:
    creative = users(blocks, "creative")
    reward = np.isin(creative, [i for i, name in enumerate(CREATIVES) if name.endswith("reward")])
    others = (creative > 0) & ~reward
    days = np.concatenate([block.life.active[:, :90].sum(axis=1) for block in blocks])
    pays = d90(blocks) > 0
    assert days[reward].mean() > days[others].mean()
    assert pays[reward].mean() < 0.6 * pays[others].mean()
