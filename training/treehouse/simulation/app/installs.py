"""Process `installs`: who comes, when, from where, and with which hidden traits."""

from __future__ import annotations

import numpy as np

from treehouse.simulation.app import catalog
from treehouse.simulation.app import parameters as p
from treehouse.simulation.app.blocks import DAY_MS, Block, Users
from treehouse.simulation.app.world import (
    DEVICE_TYPES,
    Floats,
    Ints,
    World,
    choose,
    cumulative,
    effects,
)

_OFFSETS = np.array([country.utc_offset for country in catalog.COUNTRIES])
_DIURNAL = cumulative(np.array(catalog.DIURNAL, dtype=float))
_YEAR = 365.25
_DECEMBER_27 = 360  # of 1970, in days since 1970
_DEVICE_TYPE = np.array([DEVICE_TYPES.index(device.name) for device in catalog.DEVICES])
_OS_COUNT = np.array([len(catalog.OS_VERSIONS[platform]) for platform in catalog.PLATFORMS])
_OS_FIRST = np.cumsum(_OS_COUNT) - _OS_COUNT


def installs(block: Block, rng: np.random.Generator) -> None:
    """Set `block.users`."""
    n = p.BLOCK_USERS
    world = block.world
    day = choose(rng.random(n), cumulative(_day_weights(block)))
    campaign = _campaigns(day / world.parameters.acquisition.days, rng.random(n))
    style = choose(rng.random(n), cumulative(np.array([style.share for style in catalog.STYLES])))
    creative = np.where(campaign == 0, 0, (campaign - 1) * len(catalog.STYLES) + style + 1)
    country = _countries(campaign, rng.random(n))
    platform = _platforms(world, country, rng.random(n))
    row = _devices(platform, rng.random(n))
    version = _versions(platform, row, rng.random(n))
    of_day_ms = utc_ms(country, rng)
    shift = (
        effects(tuple(c.effect for c in catalog.CAMPAIGNS))[campaign]
        + np.where(campaign == 0, 0, 1)[:, None]
        * effects(tuple(s.effect for s in catalog.STYLES))[style]
        + effects(tuple(c.effect for c in catalog.COUNTRIES))[country]
        + effects(catalog.PLATFORM_EFFECTS)[platform]
        + effects(tuple(d.effect for d in catalog.DEVICES))[row]
    )
    local_hour = (of_day_ms // 3_600_000 + _OFFSETS[country]) % 24
    stay = shift[:, 0] + world.parameters.night_stay * (local_hour < 5)
    pay = shift[:, 1] + world.interactions[campaign, country, platform]
    pay += world.pairs[creative, country]
    pay += world.parameters.old_os_pay * np.maximum(version - 1, 0) * (platform != 2)
    engagement = rng.standard_normal(n)
    spending = world.parameters.spending
    mean_views = np.exp(spending.views_log + pay + spending.views_slope * engagement)
    mean_price = spending.price_log + shift[:, 2]
    block.users = Users(
        install_ms=(block.first_day + day) * DAY_MS + of_day_ms,
        install_day=block.first_day + day,
        campaign=campaign,
        creative=creative,
        country=country,
        platform=platform,
        device=_DEVICE_TYPE[row],
        os=_OS_FIRST[platform] + version,
        engagement=engagement,
        index=stay + engagement,
        mean_views=mean_views,
        views=mean_views * rng.standard_gamma(spending.views_shape, n) / spending.views_shape,
        mean_price=mean_price,
        price=mean_price + spending.price_sd_users * rng.standard_normal(n),
    )


def utc_ms(country: Ints, rng: np.random.Generator) -> Ints:
    """Time of day in UTC, in milliseconds, by the clock of each country: [n]."""
    local = choose(rng.random(country.size), _DIURNAL)
    hour = (local - _OFFSETS[country]) % 24
    result: Ints = hour * 3_600_000 + rng.integers(0, 3_600_000, country.size)
    return result


def _day_weights(block: Block) -> Floats:
    acquisition = block.world.parameters.acquisition
    day = np.arange(acquisition.days)
    weekend = (block.first_day + day + 3) % 7 >= 5
    from_peak = (block.first_day + day - _DECEMBER_27 + _YEAR / 2) % _YEAR - _YEAR / 2
    weights: Floats = np.exp(
        acquisition.growth * day / acquisition.days
        + acquisition.weekend * weekend
        + acquisition.holiday * np.exp(-((from_peak / acquisition.holiday_days) ** 2) / 2)
    )
    return weights


def _campaigns(age: Floats, uniform: Floats) -> Ints:
    log_share = np.log([campaign.share for campaign in catalog.CAMPAIGNS])
    growth = np.array([campaign.growth for campaign in catalog.CAMPAIGNS])
    return choose(uniform, cumulative(np.exp(log_share + growth * age[:, None])))


def _countries(campaign: Ints, uniform: Floats) -> Ints:
    log_share = np.log([country.share for country in catalog.COUNTRIES])
    wealth = np.array([country.effect.price for country in catalog.COUNTRIES])
    reach = np.array([campaign.reach for campaign in catalog.CAMPAIGNS])
    shares = cumulative(np.exp(log_share + reach[:, None] * wealth))
    return choose(uniform, shares[campaign])


def _platforms(world: World, country: Ints, uniform: Floats) -> Ints:
    web = world.parameters.acquisition.web_share
    ios = (1 - web) * np.array([country.ios_share for country in catalog.COUNTRIES])
    shares = np.stack([1 - web - ios, ios, np.full(ios.size, web)], axis=1)
    return choose(uniform, cumulative(shares)[country])


def _devices(platform: Ints, uniform: Floats) -> Ints:
    """Rows of DEVICES."""
    shares = np.array(
        [
            [d.share if d.platform == name else 0.0 for d in catalog.DEVICES]
            for name in catalog.PLATFORMS
        ]
    )
    return choose(uniform, cumulative(shares)[platform])


def _versions(platform: Ints, row: Ints, uniform: Floats) -> Ints:
    """Versions behind the newest; newer ones are likelier, less so on older devices."""
    steps = np.arange(_OS_COUNT.max())
    age = np.array([device.age for device in catalog.DEVICES])
    weights = np.exp((age[row][:, None] - 0.6) * steps)
    weights[steps >= _OS_COUNT[platform][:, None]] = 0.0
    return choose(uniform, cumulative(weights))
