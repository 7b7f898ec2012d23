"""What is asked: the dashboards and their panels, and what analysts look into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from treehouse.simulation.shop.shop import DATABASE, PRODUCTS


@dataclass(frozen=True)
class Panel:
    """One query of a dashboard: `{since}` is its first day, `{filter}` what was drilled into."""

    name: str
    sql: str
    drill: str = ""


@dataclass(frozen=True)
class Dashboard:
    """A page of panels.

    Attributes:
        name: Its name.
        panels: What it shows.
        days: Ranges that its viewers choose from, the first by default.
        refresh_minutes: How often an open page asks again; 0 for never.
        walls: Screens on which it is always open.
        views: Database of the views of `named_queries()`, through which it asks; empty for none.
    """

    name: str
    panels: tuple[Panel, ...]
    days: tuple[int, ...]
    refresh_minutes: int = 0
    walls: int = 0
    views: str = ""

    def sql(self, panel: Panel, since: str, drilled: Mapping[str, str]) -> str:
        """The query of a panel from `since` on, drilled into some dimensions."""
        if not self.views:
            chosen = "".join(f" and {name} = '{value}'" for name, value in sorted(drilled.items()))
            return panel.sql.format(since=since, filter=chosen)
        values = {"since": since} | {name: drilled.get(name, "") for name in _DRILLS[self.name]}
        arguments = ", ".join(f"{name}='{value}'" for name, value in values.items())
        return f"select * from {self.views}.{self.name}_{panel.name}({arguments})"


def _panels(table: str, value: str, *dimensions: str) -> tuple[Panel, ...]:
    where = f"from {DATABASE}.{table} where at >= '{{since}}'{{filter}}"
    return (
        Panel("total", f"select count() as n, {value} as value {where}"),
        Panel(
            "by_day",
            f"select toDate(at) as day, count() as n, {value} as value {where} "
            "group by day order by day",
        ),
        *(
            Panel(
                f"by_{dimension}",
                f"select {dimension}, count() as n, {value} as value {where} "
                f"group by {dimension} order by n desc limit 20",
                drill=dimension,
            )
            for dimension in dimensions
        ),
    )


_BEST = Panel(
    "best_products",
    "select name, category, sum(amount_usd) as usd "
    f"from {DATABASE}.orders as orders inner join {DATABASE}.products as products using (product) "
    "where at >= '{since}'{filter} group by name, category order by usd desc limit 50",
)
DASHBOARDS = (
    Dashboard("sales", (*_panels("orders", "sum(amount_usd)", "country"), _BEST), (1, 7, 28), 5, 1),
    Dashboard(
        "traffic", _panels("visits", "avg(seconds)", "country", "device", "page"), (1, 7), 5, 2
    ),
    Dashboard("funnel", _panels("visits", "uniq(customer)", "page", "device"), (7, 14), 15),
    Dashboard("returns", _panels("orders", "countIf(is_returned)", "country"), (28, 56)),
    Dashboard("support", _panels("tickets", "avg(hours_open)", "topic"), (60, 180), 30),
    Dashboard("warehouse", _panels("stock", "sum(pieces)", "warehouse"), (60,), 60),
    Dashboard("year", _panels("tickets", "count()", "topic"), (365, 700)),
    Dashboard("audience", _panels("visits", "uniq(customer)", "country", "device"), (28, 56)),
)
_DRILLS = {d.name: tuple(p.drill for p in d.panels if p.drill) for d in DASHBOARDS}
VALUES = {
    "country": ("US", "JP", "DE", "FR", "GB", "IN", "BR", "ES"),
    "device": ("phone", "desktop", "tablet"),
    "page": ("home", "list", "item", "cart", "pay", "help"),
    "topic": ("delivery", "refund", "login", "other"),
    "warehouse": ("north", "south", "east", "west"),
}
# What analysts ask: table, measures, dimensions.
TABLES = (
    ("orders", ("sum(amount_usd)", "avg(amount_usd)", "uniq(customer)", "count()"),
     ("country", f"product % {PRODUCTS // 10}", "toHour(at)", "toDate(at)", "customer")),
    ("visits", ("avg(seconds)", "uniq(customer)", "count()", "quantile(0.9)(seconds)"),
     ("country", "page", "device", "toHour(at)", "customer")),
    ("tickets", ("avg(hours_open)", "count()"), ("topic", "toYYYYMM(at)", "customer % 100")),
    ("stock", ("sum(pieces)", "max(pieces)"), ("warehouse", "product", "toYYYYMM(at)")),
)  # fmt: skip


def named_queries() -> dict[str, dict[str, str]]:
    """Every panel as an entry of `result_cache.queries`, with what may be chosen as parameters.

    To be kept ahead is each dashboard as it opens.
    """
    found = {}
    for dashboard in DASHBOARDS:
        drills = _DRILLS[dashboard.name]
        chosen = "".join(f" and ({{{d}:String}} = '' or {d} = {{{d}:String}})" for d in drills)
        opened = "".join(f", '' as {d}" for d in drills)
        for panel in dashboard.panels:
            found[f"{dashboard.name}_{panel.name}"] = {
                "dashboard": dashboard.name,
                "panel": panel.name,
                "sql": panel.sql.replace("'{since}'", "{since:DateTime('UTC')}").replace(
                    "{filter}", chosen
                ),
                "arguments": f"select toStartOfDay(max(at)) - toIntervalDay({dashboard.days[0]}) "
                f"as since{opened} from {DATABASE}.orders",
            }
    return found
