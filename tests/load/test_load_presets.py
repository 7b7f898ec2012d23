"""Presets, each on rows that we wrote after the public documentation of its source."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
import yaml

from tests.load.conftest import House
from treehouse.ingest.reading import PRESETS, parse_mapping, presets, read_preset
from treehouse.ingest.sources import read_sources
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import Settings, read_yaml

COLUMNS = "event_id, user_id, event_name, toString(event_at), session_id, duration_ms, "
COLUMNS += "toString(revenue_usd), properties"
AT = "2024-02-29 10:11:12"
SECONDS = 1709201472  # the same


def lines(*rows: Mapping[str, Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def table(header: str, *rows: Sequence[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([header.split(","), *rows])
    return text.getvalue().encode()


def parquet(*rows: Mapping[str, Any]) -> bytes:
    sink = io.BytesIO()
    pa.parquet.write_table(pa.Table.from_pylist(list(rows)), sink)
    return sink.getvalue()


def param(key: str, **value: Any) -> dict[str, Any]:
    kinds = dict.fromkeys(("string_value", "int_value", "float_value", "double_value"))
    return {"key": key, "value": kinds | value}


SEGMENT = {
    "messageId": "m1", "type": "track", "event": "Order Completed", "anonymousId": "a1",
    "userId": None, "timestamp": AT.replace(" ", "T") + ".000Z",
    "properties": {"revenue": 9.5, "currency": "USD", "products": [{"sku": "x"}]},
}  # fmt: skip
POSTHOG = {
    "uuid": "p1", "event": "purchase", "distinct_id": "d1", "person_id": "u1",
    "timestamp": AT.replace(" ", "T") + "Z",
}  # fmt: skip
POSTHOG_PROPERTIES = {"$session_id": "s1", "revenue": 9.5, "a": {"b": 1}}
GA4 = {
    "event_date": "20240229", "event_timestamp": SECONDS * 10**6, "event_name": "purchase",
    "event_params": [
        param("ga_session_id", int_value=77), param("engagement_time_msec", int_value=1500),
        param("item", string_value="x"), param("price", double_value=9.5),
    ],
    "event_value_in_usd": 9.5, "user_pseudo_id": "u1", "platform": "WEB",
}  # fmt: skip
GA4_PROPERTIES = {
    "ga_session_id": "77", "engagement_time_msec": "1500", "item": "x", "price": "9.5",
}  # fmt: skip
FIXTURES: dict[str, tuple[str, bytes, tuple[Any, ...]]] = {
    "appsflyer": (
        "a.csv",
        table(
            "Attributed Touch Type,Install Time,Event Time,Event Name,Event Value,Event Revenue,"
            "Event Revenue Currency,Event Revenue USD,AppsFlyer ID,Customer User ID,Platform",
            ["click", "2024-02-01 00:00:00", AT, "af_purchase", '{"af_content_id":"x"}', "8.8",
             "EUR", "9.5", "u1", "", "android"],
        ),
        ("", "u1", "af_purchase", "", 0, "9.5", {"af_content_id": "x"}),
    ),
    "adjust": (
        "a.csv",
        table(
            "activity_kind,adid,event_name,created_at,time_spent,revenue_usd,currency,country",
            ["event", "u1", "purchase", str(SECONDS), "1.5", "9.5", "EUR", "de"],
        ),
        ("", "u1", "purchase", "", 1500, "9.5", {}),
    ),
    "amplitude": (
        "a.json",
        lines(
            {"uuid": "x1", "$insert_id": "i1", "amplitude_id": 17, "user_id": None,
             "device_id": "d1", "event_type": "purchase", "event_time": AT + ".000000",
             "session_id": 1709201400000, "event_properties": {"$revenue": 9.5, "a": {"b": 1}}},
        ),
        ("x1", "17", "purchase", "1709201400000", 0, "9.5", {"$revenue": "9.5", "a.b": "1"}),
    ),
    "segment": (
        "a.json",
        lines(SEGMENT),
        ("m1", "a1", "Order Completed", "", 0, "9.5",
         {"revenue": "9.5", "currency": "USD", "products": '[{"sku":"x"}]'}),
    ),
    "posthog": (
        "a.jsonl",
        lines(POSTHOG | {"properties": POSTHOG_PROPERTIES}),
        ("p1", "u1", "purchase", "s1", 0, "9.5",
         {"$session_id": "s1", "revenue": "9.5", "a.b": "1"}),
    ),
    "posthog parquet": (
        "a.parquet",
        parquet(POSTHOG | {"properties": json.dumps(POSTHOG_PROPERTIES)}),
        ("p1", "u1", "purchase", "s1", 0, "9.5",
         {"$session_id": "s1", "revenue": "9.5", "a.b": "1"}),
    ),
    "mixpanel": (
        "a.json",
        lines(
            {"event": "purchase", "properties": {"time": SECONDS, "distinct_id": "u1",
             "$insert_id": "i1", "$duration": 1.5, "revenue": 9.5}},
        ),
        ("i1", "u1", "purchase", "", 1500, "9.5",
         {"time": str(SECONDS), "distinct_id": "u1", "$insert_id": "i1", "$duration": "1.5",
          "revenue": "9.5"}),
    ),
    "ga4": ("a.json", lines(GA4), ("", "u1", "purchase", "77", 1500, "9.5", GA4_PROPERTIES)),
    "ga4 parquet": (
        "a.parquet", parquet(GA4), ("", "u1", "purchase", "77", 1500, "9.5", GA4_PROPERTIES)
    ),
    "snowplow": (
        "a.csv",
        table(
            "app_id,platform,collector_tstamp,derived_tstamp,event,event_name,event_id,user_id,"
            "domain_userid,network_userid,domain_sessionid,se_action,tr_total_base,unstruct_event",
            ["shop", "web", AT, AT + ".000", "struct", "event", "x1", "", "u1", "n1", "s1",
             "purchase", "9.5", ""],
        ),
        ("x1", "u1", "purchase", "s1", 0, "9.5", {}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FIXTURES)
def test_an_export_is_loaded_by_its_preset(house: House, name: str) -> None:
    file, content, expected = FIXTURES[name]
    (house.folder / file).write_bytes(content)
    report = house.load(
        "events", house.folder / file, reading=read_preset(name.split()[0], "events")
    )
    assert (report.loaded, report.reasons) == (1, {})
    [(event_id, *row)] = house.rows("events", COLUMNS)
    user, event, session, ms, usd, properties = expected[1:]
    assert tuple(row) == (user, event, AT + ".000", session, ms, usd, properties)
    assert event_id == expected[0] or (not expected[0] and len(event_id) == 32)


INSTALLS = {
    "appsflyer": table(
        "AppsFlyer ID,Install Time,Campaign ID,Campaign,Ad ID,Country Code,Platform,OS Version",
        ["u1", AT, "", "spring", "ad", "DE", "iOS", "17"],
    ),
    "adjust": table(
        "adid,installed_at,campaign_name,creative_name,country,os_name,os_version",
        ["u1", str(SECONDS), "spring", "ad", "de", "ios", "17"],
    ),
}


@pytest.mark.parametrize("name", INSTALLS)
def test_installs_are_loaded_by_a_preset(house: House, name: str) -> None:
    (house.folder / "a.csv").write_bytes(INSTALLS[name])
    house.load("installs", house.folder / "a.csv", reading=read_preset(name, "installs"))
    assert house.rows("installs", "* except installed_at, toString(installed_at)") == [
        ("u1", "spring", "ad", "DE", "ios", "", "17", AT + ".000")
    ]


def test_every_preset_has_rows_of_its_own_and_columns_of_the_contract() -> None:
    assert {name.split()[0] for name in FIXTURES} == set(presets())
    sources = read_sources(Settings())
    for name in presets():
        found = read_yaml(PRESETS / f"{name}.yml")
        assert ("installs" in found) == (name in INSTALLS)
        for source in found:
            reading = read_preset(name, source)
            known = {c.name for c in sources[source].columns} | {"currency"}
            assert reading.columns.keys() <= known
            assert parse_mapping(yaml.safe_load(reading.as_yaml()), name) == reading


def test_what_is_no_preset_or_not_in_one_is_told() -> None:
    with pytest.raises(TreehouseError, match="Unknown preset") as caught:
        read_preset("../adjust", "events")
    assert "amplitude" in str(caught.value.expected)
    with pytest.raises(TreehouseError, match="An export of mixpanel has no installs"):
        read_preset("mixpanel", "installs")


def test_a_column_that_an_expression_misses_is_said(house: House) -> None:
    (house.folder / "a.csv").write_bytes(table("adid,event,created_at", ["u1", "a", AT]))
    report = house.load("events", house.folder / "a.csv", reading=read_preset("adjust", "events"))
    assert report.said == {"no column time_spent: taken as missing": 1}
