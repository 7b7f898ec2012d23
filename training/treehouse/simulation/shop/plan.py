"""Who asks what and when: a seeded plan of dashboards, wall screens and analysts.

Sessions arrive by a Poisson process whose rate follows the hour and the day of the week. Interest
in the dashboards is Zipf-like, drifts from day to day, and a meeting now and then sends many people
to one of them at once.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import inf

import numpy as np

from treehouse.project.errors import TreehouseError
from treehouse.simulation.shop.dashboards import DASHBOARDS, TABLES, VALUES, Dashboard
from treehouse.simulation.shop.shop import DATABASE, ingest

START = datetime(2026, 6, 1, tzinfo=UTC)  # a Monday
_RNG = np.random.Generator


@dataclass(frozen=True)
class Request:
    """One statement and who sends it, at which simulated time.

    Attributes:
        at: Simulated time.
        sql: The statement.
        user: Who.
        session: Which sitting of theirs; empty for what comes in by itself.
        dashboard: Where it stands; empty for an analyst.
        panel: Which part of it.
    """

    at: datetime
    sql: str
    user: str = ""
    session: str = ""
    dashboard: str = ""
    panel: str = ""


@dataclass(frozen=True)
class Options:
    """What a plan depends on.

    Attributes:
        hours: Simulated time.
        seed: Equal seeds give equal plans.
        sessions: Sittings on an average working day.
        people: How many people there are.
        start: Where the simulated time begins.
        wall_minutes: Between refreshes of the screens on walls; 0: as each dashboard says.
        panels: Most panels of a dashboard, its first ones; 0 for all.
        meetings: Chance of a meeting in any hour of a working day.
        load_hours: Hours between loads of new rows.
        views: Database of the named queries' views, which dashboards then ask; empty for tables.
        scale: Factor of the tables' rows, and so of what a query reads.

    Raises:
        TreehouseError: There is no time or nobody to ask, or a value is out of its bounds.
    """

    hours: int = 24
    seed: int = 7
    sessions: int = 300
    people: int = 60
    start: datetime = START
    wall_minutes: int = 0
    panels: int = 0
    meetings: float = 0.04
    load_hours: int = 1
    views: str = ""
    scale: float = 1.0

    def __post_init__(self) -> None:
        for name, (least, most) in _BOUNDS.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise TreehouseError(
                    f"A workload can't have these {name.replace('_', ' ')}.",
                    value=value,
                    expected=f"{least:g} or more" + (f", up to {most:g}" if most < inf else ""),
                )


_BOUNDS = {
    "hours": (1, inf), "sessions": (1, inf), "people": (1, inf), "wall_minutes": (0, inf),
    "panels": (0, inf), "meetings": (0, 1), "load_hours": (1, inf), "scale": (1e-3, inf),
}  # fmt: skip

# Shares of a working day's sessions that begin in each hour, UTC.
_HOURS = np.array([1, 1, 1, 1, 1, 2, 4, 10, 20, 18, 14, 12, 9, 14, 15, 13, 10, 6, 4, 3, 2, 2, 1, 1])
_WEEKEND = 0.25
_INTEREST_DRIFT = 0.25  # standard deviation of the daily step of a dashboard's log weight


def plan(options: Options) -> Iterator[Request]:
    """All requests in the order of their times."""
    rng = np.random.default_rng(options.seed)
    streams = [_inserts(options), *_walls(options), _people(options, rng)]
    return iter(heapq.merge(*streams, key=lambda request: request.at))


def _inserts(options: Options) -> Iterator[Request]:
    """What comes in, at each full hour or as often as is asked."""
    for hour in range(options.load_hours, options.hours + 1, options.load_hours):
        at = options.start + timedelta(hours=hour)
        for sql in ingest(at, options.load_hours, options.scale):
            yield Request(at, sql, user="loader")


def _walls(options: Options) -> list[Iterator[Request]]:
    """Screens that show a dashboard by day and night."""
    refresh = options.wall_minutes
    return [
        _page(replace(dashboard, refresh_minutes=refresh or dashboard.refresh_minutes),
              dashboard.days[0], {}, options.start + timedelta(seconds=7 * wall + 11),
              options.start + timedelta(hours=options.hours), f"wall_{dashboard.name}_{wall}",
              f"wall_{dashboard.name}_{wall}")
        for dashboard in _dashboards(options)
        for wall in range(dashboard.walls)
    ]  # fmt: skip


def _dashboards(options: Options) -> list[Dashboard]:
    return [
        replace(d, panels=d.panels[: options.panels or None], views=options.views)
        for d in DASHBOARDS
    ]


def _people(options: Options, rng: _RNG) -> Iterator[Request]:
    """The sessions of people, merged by time; of each hour those that begin in it."""
    interest = -1.1 * np.log(np.arange(1, len(DASHBOARDS) + 1))
    favourites = rng.permutation(options.people)
    running: list[tuple[datetime, int, Request]] = []
    count = 0
    for hour in range(options.hours):
        begin = options.start + timedelta(hours=hour)
        if begin.hour == 0:
            interest = interest + rng.normal(0, _INTEREST_DRIFT, len(interest))
        for session in _sessions(options, rng, begin, interest, favourites, count):
            for request in session:
                count += 1
                heapq.heappush(running, (request.at, count, request))
        while running and running[0][0] < begin + timedelta(hours=1):
            yield heapq.heappop(running)[2]
    while running and running[0][0] < options.start + timedelta(hours=options.hours):
        yield heapq.heappop(running)[2]


def _sessions(
    options: Options,
    rng: _RNG,
    begin: datetime,
    interest: np.ndarray,
    people: np.ndarray,
    number: int,
) -> Iterator[Iterator[Request]]:
    """The sessions that begin in an hour: some alone, and a meeting now and then."""
    is_weekend = begin.weekday() >= 5
    dashboards = _dashboards(options)
    share = _HOURS[begin.hour] / _HOURS.sum() * (_WEEKEND if is_weekend else 1)
    for i in range(rng.poisson(options.sessions * share)):
        at = begin + timedelta(seconds=float(rng.uniform(0, 3600)))
        person = int(people[min(int(rng.exponential(options.people / 4)), options.people - 1)])
        name = f"{begin:%Y%m%d%H}_{number}_{i}"
        if person % 5 == 0:
            yield _analysis(rng, at, f"analyst_{person}", name)
        else:
            weights = np.exp(interest + (np.arange(len(interest)) == person % len(interest)))
            chosen = dashboards[rng.choice(len(dashboards), p=weights / weights.sum())]
            yield _sitting(rng, chosen, at, f"person_{person}", name)
    if not is_weekend and 7 <= begin.hour <= 17 and rng.random() < options.meetings:
        topic = dashboards[rng.integers(len(dashboards))]
        for i in range(int(rng.integers(8, 25))):
            at = begin + timedelta(seconds=1800 + float(rng.exponential(60)))
            person = int(people[i % options.people])
            yield _sitting(rng, topic, at, f"person_{person}", f"{begin:%Y%m%d%H}_meeting_{i}")


def _sitting(
    rng: _RNG, dashboard: Dashboard, at: datetime, user: str, session: str
) -> Iterator[Request]:
    """One person at a dashboard: opens it, changes the range, drills down, lets it refresh."""
    days = dashboard.days[0]
    drilled: dict[str, str] = {}
    for _ in range(1 + rng.geometric(0.45)):
        stays = timedelta(seconds=20 + float(rng.exponential(240)))
        yield from _page(dashboard, days, dict(drilled), at, at + stays, user, session)
        at += stays
        drills = [panel.drill for panel in dashboard.panels if panel.drill]
        if rng.random() < 0.35 and len(dashboard.days) > 1:
            days = int(rng.choice(dashboard.days))
        elif drills and rng.random() < 0.75:
            dimension = str(rng.choice(drills))
            values = VALUES[dimension]
            drilled[dimension] = values[min(int(rng.exponential(1.5)), len(values) - 1)]
        else:
            drilled = {}


def _page(
    dashboard: Dashboard, days: int, drilled: dict[str, str], begin: datetime, end: datetime,
    user: str, session: str,
) -> Iterator[Request]:  # fmt: skip
    """The queries of an open page: at once, and at each refresh until it is closed."""
    at = begin
    while at < end:
        since = (at - timedelta(days=days)).strftime("%Y-%m-%d 00:00:00")
        for number, panel in enumerate(dashboard.panels):
            yield Request(
                at + timedelta(milliseconds=50 * number),
                dashboard.sql(panel, since, drilled),
                user,
                session,
                dashboard.name,
                panel.name,
            )
        if not dashboard.refresh_minutes:
            return
        at += timedelta(minutes=dashboard.refresh_minutes)


def _analysis(rng: _RNG, at: datetime, user: str, session: str) -> Iterator[Request]:
    """An analyst follows a question of their own: mostly queries that nobody asked before."""
    table, measures, dimensions = TABLES[rng.choice(len(TABLES), p=[0.45, 0.35, 0.12, 0.08])]
    reach = {"orders": 55, "visits": 55}.get(table, 680)
    begin = at - timedelta(days=float(rng.integers(1, reach)))
    for _ in range(rng.geometric(0.2)):
        measure, dimension = rng.choice(measures), rng.choice(dimensions)
        until = min(at, begin + timedelta(days=float(rng.choice([1, 3, 7, 14, 30]))))
        yield Request(
            at,
            f"select {dimension} as x, {measure} as y from {DATABASE}.{table} "
            f"where at >= '{begin:%Y-%m-%d} 00:00:00' and at < '{until:%Y-%m-%d %H}:00:00' "
            f"group by x order by y desc limit {rng.choice([10, 100, 1000])}",
            user,
            session,
        )
        at += timedelta(seconds=10 + float(rng.exponential(90)))
        if rng.random() < 0.3:
            begin -= timedelta(days=float(rng.integers(0, 7)))
