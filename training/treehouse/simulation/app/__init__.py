"""A mobile growth platform, simulated: installs, sessions, purchases, and what they will be worth.

The generative model, for a user u with attributes x (campaign, creative, country, platform,
device type, OS version, hour of install). All numbers are in parameters.py and catalog.py.

Installs (installs.py)
    Installs grow over the 540 days before `end`, the present, with more on weekends and around
    the holidays; hours follow a daily rhythm on the country's clock. The campaign mix drifts over
    the days; countries depend on the campaign, platforms on the country, devices on the platform,
    OS versions on the device.

Traits, hidden
    engagement   e ~ N(0, 1);  index  G = e + stay(x)
    shop views   v ~ Gamma(k, mean m);  log m = pay(x) + b e
                 (per active day; a small k leaves most users without a purchase ever)
    price level  mu ~ N(price(x), s_u^2)
    stay, pay and price are sums of effects; pay also has random tables over campaign x country
    x platform and creative x country, and a kink in the OS version. The creative `reward` brings
    users who stay and do not pay.

Activity (activity.py)
    lifetime     P(L >= t) = exp(-(rate (t - 1))^c), rate = exp(k0 - k1 G), in days of life
    active days  day 1, and each day t <= L with chance a(G) w(weekday)
    sessions     1 + Poisson(exp(s0 + s1 G)) on an active day; log seconds ~ N(l0 + l1 G, l2^2)
    plays        Poisson(exp(q0 + q1 G)) levels and ads in a session
    A day is a calendar day in UTC. A session ends at midnight and at the user's next session.
    An event lasts until its session's next event, so durations add up to the session's.

Purchases (purchases.py)
    shop views   Poisson(v f(weekday)) on an active day, each ending in a purchase with chance pi
    amounts      log USD ~ N(mu, s^2), at most the dearest item, in whole cents
    Sums over Gamma rates, Weibull lifetimes and log-normal prices have a heavy tail: 1 % of the
    users bring about two thirds of the revenue. Ads bring none here.

True values (truth.py, posterior.py) are in the database `simulation_truth`. Two forecasters, who
both know these formulas and days 1-7: `ideal` sees the hidden traits too; `best` infers them, and
is what no model can beat on average: the *best possible*.

One more process (fraud, pushes, carts) is one more function in `generate.PROCESSES`. It is given
the block with everything that the processes before it made, and random numbers of its own: what
was simulated without it stays the same.
"""

from treehouse.simulation.app.parameters import GENERATOR_VERSION, Parameters
from treehouse.simulation.app.runs import DEFAULT_END, SimulationReport, simulate
from treehouse.simulation.app.store import TRUTH_DATABASE, ensure_truth

__all__ = [
    "DEFAULT_END",
    "GENERATOR_VERSION",
    "TRUTH_DATABASE",
    "Parameters",
    "SimulationReport",
    "ensure_truth",
    "simulate",
]
