"""What users of the platform are and where they come from: shares, and effects on the traits.

A change here changes rows: raise GENERATOR_VERSION in parameters.py.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Effect:
    """What a property of a user adds to the three things that users differ in.

    Attributes:
        stay: Added to the engagement index G (1 = a standard deviation between users).
        pay: Added to the log of the mean rate of shop views.
        price: Added to the mean log amount of a purchase.
    """

    stay: float = 0.0
    pay: float = 0.0
    price: float = 0.0


@dataclass(frozen=True)
class Country:
    """A country: ISO code, share of installs, clock (hours from UTC), share of iOS, effect."""

    code: str
    share: float
    utc_offset: int
    ios_share: float
    effect: Effect


@dataclass(frozen=True)
class Campaign:
    """A campaign: id (empty: organic), share of installs, growth of the log share, effect.

    Attributes:
        growth: Change of the log share from the first install day to the last: the mix drifts.
        reach: Tilts the log share of a country by `reach` times its price effect.
    """

    id: str
    share: float
    growth: float
    reach: float
    effect: Effect


@dataclass(frozen=True)
class Style:
    """A kind of ad creative: name, share within a campaign, effect."""

    name: str
    share: float
    effect: Effect


@dataclass(frozen=True)
class Device:
    """A class of device: name, platform, share within the platform, effect.

    Attributes:
        age: Tilts the log share of older OS versions, per version step.
    """

    name: str
    platform: str
    share: float
    age: float
    effect: Effect


COUNTRIES = (
    Country("US", 0.24, -6, 0.52, Effect(0.10, 0.40, 0.25)),
    Country("IN", 0.16, 5, 0.05, Effect(-0.20, -0.75, -0.55)),
    Country("BR", 0.13, -3, 0.14, Effect(0.15, -0.40, -0.30)),
    Country("DE", 0.09, 1, 0.36, Effect(0.05, 0.25, 0.15)),
    Country("GB", 0.08, 0, 0.48, Effect(0.05, 0.30, 0.15)),
    Country("JP", 0.08, 9, 0.62, Effect(0.35, 0.50, 0.30)),
    Country("MX", 0.08, -6, 0.18, Effect(0.05, -0.30, -0.30)),
    Country("FR", 0.06, 1, 0.34, Effect(0.00, 0.15, 0.10)),
    Country("KR", 0.05, 9, 0.30, Effect(0.25, 0.40, 0.30)),
    Country("ID", 0.03, 7, 0.08, Effect(-0.10, -0.65, -0.50)),
)
CAMPAIGNS = (
    Campaign("", 0.26, -0.30, 0.2, Effect(0.40, 0.25, 0.05)),
    Campaign("social_broad", 0.20, 0.00, -0.2, Effect(-0.10, -0.15, -0.05)),
    Campaign("social_lookalike", 0.12, 0.50, 0.8, Effect(0.15, 0.30, 0.10)),
    Campaign("search_brand", 0.10, 0.00, 0.5, Effect(0.35, 0.30, 0.05)),
    Campaign("search_generic", 0.10, 0.20, 0.2, Effect(0.05, 0.05, 0.00)),
    Campaign("video_network", 0.12, 0.40, -0.6, Effect(-0.30, -0.40, -0.05)),
    Campaign("offerwall", 0.06, 0.90, -0.9, Effect(-0.55, -0.75, -0.15)),
    Campaign("influencer", 0.04, 0.30, 0.3, Effect(0.20, 0.15, 0.15)),
)
STYLES = (
    Style("gameplay", 0.40, Effect(0.10, 0.05, 0.00)),
    Style("story", 0.25, Effect(0.15, 0.15, 0.05)),
    Style("challenge", 0.15, Effect(-0.05, 0.00, 0.05)),
    Style("reward", 0.20, Effect(0.15, -1.00, -0.10)),
)
"""The reward creative is the trap: its users come back more than others, and do not pay."""
DEVICES = (
    Device("phone_high", "ios", 0.45, -0.5, Effect(0.05, 0.25, 0.20)),
    Device("phone_mid", "ios", 0.37, 0.1, Effect(0.00, 0.00, 0.05)),
    Device("tablet", "ios", 0.18, 0.3, Effect(0.20, 0.15, 0.10)),
    Device("phone_high", "android", 0.22, -0.6, Effect(0.05, 0.15, 0.15)),
    Device("phone_mid", "android", 0.40, 0.0, Effect(0.00, -0.05, -0.05)),
    Device("phone_low", "android", 0.32, 0.5, Effect(-0.25, -0.40, -0.20)),
    Device("tablet", "android", 0.06, 0.4, Effect(0.10, 0.00, 0.00)),
    Device("desktop", "web", 0.80, 0.0, Effect(-0.10, 0.05, 0.05)),
    Device("phone_mid", "web", 0.20, 0.0, Effect(-0.40, -0.35, -0.05)),
)
PLATFORMS = ("android", "ios", "web")
PLATFORM_EFFECTS = (Effect(0.00, -0.10, -0.05), Effect(0.05, 0.15, 0.05), Effect(-0.20, 0.00, 0.00))
OS_VERSIONS = {
    "android": ("15", "14", "13", "12", "11", "10"),
    "ios": ("18", "17", "16", "15"),
    "web": ("windows", "macos", "linux"),
}
"""Per platform, the newest first."""

DIURNAL = (
    *(20, 12, 8, 6, 6, 10, 22, 38, 46, 44, 42, 46),
    *(58, 54, 48, 48, 52, 60, 72, 88, 100, 98, 76, 44),
)
"""Weight of each local hour, for installs and session starts."""
WEEKDAY_ACTIVITY = (0.97, 0.95, 0.95, 0.97, 1.02, 1.10, 1.08)
"""Monday first: factor on the chance that a user is active."""
WEEKDAY_SPENDING = (0.92, 0.90, 0.92, 0.95, 1.10, 1.15, 1.05)
"""Monday first: factor on the rate of shop views of an active day."""
