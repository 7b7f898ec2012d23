"""Money as it is: refunds, parts of a cent, logs without quantities."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from tests.load.conftest import DATABASE, House
from treehouse.ingest.rates import read_rates
from treehouse.ingest.reading import Reading
from treehouse.project.errors import TreehouseError

EVENTS = "id,user_id,event,ts,revenue"
EARNED = ["a,u,buy,2024-01-01,5", "b,u,refund,2024-01-02,-5", "c,u,open,2024-01-03,"]


@pytest.mark.parametrize(
    ("policy", "counts", "ids"),
    [("", (3, 0, 0), "abc"), ("net", (3, 0, 0), "abc"), ("drop", (2, 0, 1), "ac"),
     ("quarantine", (2, 1, 0), "ac")],
)  # fmt: skip
def test_refunds_of_events(
    house: House, policy: str, counts: tuple[int, int, int], ids: str
) -> None:
    path = house.csv([EVENTS, *EARNED])
    report = house.load("events", path, reading=Reading(refunds=policy))
    assert (report.loaded, report.quarantined, report.dropped) == counts
    assert house.rows("events", "event_id") == [(i,) for i in ids]
    assert report.reasons == ({"refund": 1} if policy == "quarantine" else {})
    assert house.rows("load_log", "rows, dropped") == [(3, counts[2])]


@pytest.mark.parametrize(("policy", "counts"), [("", (2, 2, 0)), ("drop", (2, 0, 2))])
def test_refunds_of_purchases(house: House, policy: str, counts: tuple[int, int, int]) -> None:
    lines = ["c,2024-01-01,1,5", "c,2024-01-02,1,-5", "c,2024-01-03,-1,5", "c,2024-01-04,,5"]
    path = house.csv(["customer,date,quantity,amount", *lines])
    report = house.load("purchases", path, reading=Reading(refunds=policy))
    assert (report.loaded, report.quarantined, report.dropped) == counts
    assert house.rows("purchases", "quantity, amount_usd") == [(1, 5), (1, 5)]


def test_purchases_are_not_netted(house: House) -> None:
    path = house.csv(["customer,date,amount", "c,2024-01-01,-5"])
    with pytest.raises(TreehouseError, match="purchases takes no refunds as they are"):
        house.load("purchases", path, reading=Reading(refunds="net"))


def test_a_log_without_quantities(house: House) -> None:
    house.load("purchases", house.csv(["customer,date,amount", "c,2024-01-01,5"]))
    assert house.rows("purchases", "quantity") == [(1,)]


def test_parts_of_a_cent_are_kept_and_what_is_rounded_is_said(house: House) -> None:
    values = ["0.000000123", "1.23e-7", "0.30000000000000004", "0.0000000123", "0.0000000004"]
    lines = [f"e{i},u,ad,2024-01-01,{value}" for i, value in enumerate(values)]
    report = house.load("events", house.csv([EVENTS, *lines]))
    assert report.said == {"revenue_usd: rounded to 9 digits after the point": 2}
    assert house.rows("events", "event_id, revenue_usd") == [
        ("e0", Decimal("0.000000123")), ("e1", Decimal("0.000000123")), ("e2", Decimal("0.3")),
        ("e3", Decimal("0.000000012")), ("e4", 0),
    ]  # fmt: skip


def test_an_older_table_rounds_aloud(house: House) -> None:
    house.client.command(f"alter table {DATABASE}.events modify column revenue_usd Decimal(18, 6)")
    report = house.load("events", house.csv([EVENTS, "a,u,ad,2024-01-01,0.0000019"]))
    assert report.said == {"revenue_usd: rounded to 6 digits after the point": 1}
    assert house.rows("events", "revenue_usd") == [(Decimal("0.000002"),)]


RATES = ["currency,usd,since", "EUR,1.1,2024-01-01", "eur,1.2,2024-02-01", "JPY,0.0067,2024-01-01"]
FOREIGN = [
    "u,a,2024-01-31,10,EUR", "u,b,2024-02-01,10, eur", "u,c,2024-06-01,1000,JPY",
    "u,d,2024-01-01,10,USD", "u,e,2024-01-01,10,", "u,f,2023-12-31,10,EUR", "u,g,2024-01-01,1,XXX",
    "u,h,2024-01-01,,XXX", "u,i,2024-01-31,-5,EUR", "u,j,2024-01-31,x,EUR",
]  # fmt: skip


def test_currencies_through_rates_of_their_day(house: House) -> None:
    rates = str(house.csv(RATES, "rates.csv"))
    path = house.csv(["user_id,event,ts,revenue,Currency", *FOREIGN])
    report = house.load("events", path, reading=Reading(rates=rates))
    assert dict(house.rows("events", "event_name, revenue_usd")) == {
        "a": 11, "b": 12, "c": Decimal("6.7"), "d": 10, "e": 10, "h": 0, "i": Decimal("-5.5")
    }  # fmt: skip
    assert report.said == {"revenue_usd: converted to USD": 4}
    assert report.reasons == {"currency.rate": 2, "revenue_usd.unreadable": 1}
    assert house.reasons()[:2] == [
        "currency 'EUR' has no rate for 2023-12-31: give --rates",
        "currency 'XXX' has no rate for 2024-01-01: give --rates",
    ]
    newer = str(house.csv(["currency,usd", "EUR,2", "JPY,1"], "newer.csv"))
    again = house.load("events", path, reading=Reading(rates=newer))
    assert (again.loaded, again.duplicate) == (1, 7)  # the one that had no rate


def test_amounts_whose_name_says_dollars_are_dollars(house: House) -> None:
    path = house.csv(["customer,date,amount_usd,currency", "c,2024-01-01,5,EUR"])
    assert house.load("purchases", path).ignored == ("currency",)
    mapped = Reading(columns={"currency": "currency"})
    assert house.load("purchases", path, reading=mapped).reasons == {"currency.rate": 1}


@pytest.mark.parametrize(
    "lines",
    [["currency,rate", "EUR,1"], ["currency,usd", "EUR,x"], ["currency,usd", "EUR,0"],
     ["currency,usd", "EUR,1", "EUR,2"], ["currency,usd,since", "EUR,1,31.1.2024"],
     ["currency,usd", "EUR"], ["currency,usd", ",1"],
     ["currency,usd", "EUR,1,08"], ["currency,usd", "EUR,1_1"]],
)  # fmt: skip
def test_what_is_no_rate_is_refused(tmp_path: Path, lines: list[str]) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(lines))
    with pytest.raises(TreehouseError, match=r"Rates could not be read: .*rows\.csv:"):
        read_rates(path)
