"""Rows of the engine's collected logs, made in SQL: as many queries as a test asks for."""

from __future__ import annotations

from clickhouse_connect.driver.client import Client

from treehouse.clickhouse.client import identifier
from treehouse.platform.query_log.collect import ensure_engine_tables
from treehouse.project.settings import Settings

BEGIN = "toDateTime64('2026-06-01 00:00:00', 6, 'UTC')"


def fill_query_log(
    client: Client, settings: Settings, *, queries: int, distinct: int, hours: int = 72
) -> None:
    """Queries evenly over `hours`: the lower its number, the more often a text is asked.

    The first half of the texts read treehouse_workload.orders, which is written every hour; the
    others read treehouse_other.secrets, which no configuration names.
    """
    ensure_engine_tables(client, settings)
    raw = identifier(settings.raw_database)
    client.command(
        f"""
        insert into {raw}.engine_queries
        (
            log_id, logged_at, event_at, is_initial, query_key, user_key, dashboard, panel, kind,
            shape, result_key, duration_ms, read_rows, read_bytes, result_rows, result_bytes,
            memory_bytes, tables, partitions
        )
        with
        {BEGIN} + toIntervalMillisecond(toInt64(number * {hours} * 3600000 / {queries})) as at,
        cityHash64(number, 1) / 18446744073709551616. as chance,
        toUInt64(floor({distinct} * pow(chance, 3))) as text
        select
            cityHash64(number, 2), at, at, true, number, text % 5,
            if(text < {distinct} / 10, 'sales', ''), concat('panel_', toString(text % 4)), 'Select',
            text % 20, cityHash64(text, 3), 2 + text % 30, 1000, 100000, 10, 1000 + text % 500,
            1000000,
            [if(text * 2 < {distinct}, 'treehouse_workload.orders', 'treehouse_other.secrets')],
            ['treehouse_workload.orders.20260601']
        from numbers({queries})
        """
    )
    client.command(
        f"""
        insert into {raw}.engine_query_shapes
        (shape, first_seen_at, is_parsed, time_range, is_deterministic)
        select number, {BEGIN}, true, 'none', number != 7 from numbers(20)
        """
    )
    client.command(
        f"""
        insert into {raw}.engine_part_events
        (log_id, logged_at, event, query_key, database, table, partition_id)
        select
            number, {BEGIN} + toIntervalHour(number), 'NewPart', 1000000000 + number,
            'treehouse_workload', 'orders', '20260601'
        from numbers({hours + 1})
        """
    )
