"""The numbers of the generative model, with their units; catalog.py has those of attributes."""

from __future__ import annotations

from dataclasses import dataclass, field

GENERATOR_VERSION = 2
"""Part of a run's identity: to be raised with any change that changes a row."""

BLOCK_USERS = 4096
"""Users of a block. A block has random streams of its own, so that no other size matters."""

EVENT_NAMES = ("session_start", "level_complete", "ad_view", "shop_view", "purchase")
SESSION_START, LEVEL_COMPLETE, AD_VIEW, SHOP_VIEW, PURCHASE = range(len(EVENT_NAMES))


@dataclass(frozen=True)
class Acquisition:
    """When installs come.

    Attributes:
        days: Install days, the last of them the day before `end`.
        growth: Log growth of installs a day over all days.
        weekend: Log lift of installs on Saturdays and Sundays.
        holiday: Log lift of installs on 27 December, when new phones are unpacked.
        holiday_days: Days from there to where the lift has fallen to 61 % (a Gaussian's width).
        web_share: Share of users on the web; iOS takes the country's share of the rest.
    """

    days: int = 540
    growth: float = 0.6
    weekend: float = 0.15
    holiday: float = 0.4
    holiday_days: float = 6.0
    web_share: float = 0.05


@dataclass(frozen=True)
class Activity:
    """Who comes back, how often and for how long, by the engagement index G.

    Attributes:
        churn_log_rate: k0 of the churn rate exp(k0 - k1 G), per day.
        churn_slope: k1.
        churn_shape: Shape of the Weibull lifetime; below 1 the hazard falls with age.
        max_active: Highest chance of an active day, before the weekday.
        active_logit: Logit of the chance (over max_active) of an active day at G = 0.
        active_slope: Its change with G.
        sessions_log: Log mean of sessions after an active day's first at G = 0.
        sessions_slope: Its change with G.
        play_log: Log mean of levels and ads of a session at G = 0.
        play_slope: Its change with G.
        level_share: Share of levels among them; the rest are ads.
        length_log: Mean log seconds of a session at G = 0.
        length_slope: Its change with G.
        length_sd: Standard deviation of the log seconds of a session, given G.
        life_days: Days after which nobody is active any more; above 90 on purpose.
    """

    churn_log_rate: float = -0.9
    churn_slope: float = 1.0
    churn_shape: float = 0.55
    max_active: float = 0.85
    active_logit: float = 0.1
    active_slope: float = 0.9
    sessions_log: float = -1.0
    sessions_slope: float = 0.35
    play_log: float = 0.1
    play_slope: float = 0.25
    level_share: float = 0.6
    length_log: float = 5.7
    length_slope: float = 0.25
    length_sd: float = 0.8
    life_days: int = 120


@dataclass(frozen=True)
class Spending:
    """Who looks at the shop, buys, and for how much.

    Attributes:
        views_log: Log mean of shop views of an active day, at effects of 0.
        views_slope: Its change with the engagement e (not the index G).
        views_shape: Shape of the Gamma that users of equal mean differ by; small: few payers.
        conversion: Chance that a shop view ends in a purchase.
        price_log: Mean log USD of a purchase, at effects of 0.
        price_sd_users: Standard deviation between users of the mean log amount.
        price_sd: Standard deviation of a user's own log amounts.
        max_amount_usd: Largest amount; the store has no dearer item.
        interaction_sd: Standard deviation of the campaign x country x platform table (pay).
        pair_sd: Standard deviation of the creative x country table (pay).
    """

    views_log: float = -2.0
    views_slope: float = 0.25
    views_shape: float = 0.15
    conversion: float = 0.25
    price_log: float = 1.85
    price_sd_users: float = 0.4
    price_sd: float = 0.5
    max_amount_usd: float = 99.99
    interaction_sd: float = 0.35
    pair_sd: float = 0.2


@dataclass(frozen=True)
class Parameters:
    """All of it. Different parameters are a different run.

    Attributes:
        world_seed: Draws the interaction tables: a property of the platform, not of a run.
        night_stay: Added to G for installs from midnight to five, local time.
        old_os_pay: Added to the log rate of shop views for each OS version behind the newest
            but one: a kink, not a line.
        observed_days: Days of life that a forecast may look at.
        horizon_days: Days of life that a lifetime value counts.
    """

    acquisition: Acquisition = field(default_factory=Acquisition)
    activity: Activity = field(default_factory=Activity)
    spending: Spending = field(default_factory=Spending)
    world_seed: int = 20_240_229
    night_stay: float = -0.35
    old_os_pay: float = -0.25
    observed_days: int = 7
    horizon_days: int = 90
