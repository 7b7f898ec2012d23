"""What is kept of a query's text, and how it is measured."""

from __future__ import annotations

import pytest

from treehouse.platform.query_log.shapes import MAX_CHARACTERS, Shape, describe

NAMES = frozenset({"shop", "orders", "at", "amount", "country", "count", "sum", "now", "toDate"})


def test_words_that_are_no_names_of_the_schema_become_question_marks() -> None:
    text = describe(
        "select country, sum(amount) as janes_total from shop.orders -- for Jane\n"
        "where country in ('DE', 'FR') and at > '2026-01-01' group by country limit 5",
        NAMES,
    ).text
    assert text == (
        "select country , sum ( amount ) as ? from shop . orders "
        "where country in ( ?.. ) and at > ? GROUP BY country limit ?"
    )


@pytest.mark.parametrize(
    "secret",
    [
        "'jane@example.com'",
        "`jane@example.com`",
        '"jane@example.com"',
        "$jane@example.com$ jane@example.com $jane@example.com$",
        "/* jane@example.com */ 1",
        "1 -- jane@example.com\n",
        "1 # jane@example.com\n",
        "concat('jane', '@example.com')",
        "'it''s jane@example.com'",
        "'it\\'s jane@example.com'",
        "{jane:String}",
        "jane",
        "jane(1)",
        "0x6a616e65",
    ],
)
def test_no_literal_comment_or_alias_is_kept(secret: str) -> None:
    text = describe(f"select {secret} as x from shop.orders where at = {secret}", NAMES).text
    assert not any(word in text.lower() for word in ("jane", "example", "6a616e65"))


def test_a_string_that_reads_like_a_keyword_is_a_string() -> None:
    assert "date" not in describe("select 'date', 'select' from shop.orders", NAMES).text


def test_measures() -> None:
    shape = describe(
        "select toDate(at) as day, count() from shop.orders inner join shop.other using (x) "
        "where at > now() - interval 7 day and x = 1 and x in (select 1) group by day limit 3",
        NAMES,
    )
    assert (shape.joins, shape.subqueries, shape.aggregates, shape.group_by) == (1, 1, 1, 1)
    assert shape.conditions == 3
    assert (shape.time_range, shape.is_deterministic, shape.has_limit) == ("relative", False, True)


@pytest.mark.parametrize(
    ("sql", "time_range", "is_deterministic"),
    [
        ("select 1 from orders where at >= '2026-01-01'", "absolute", True),
        ("select 1 from orders where at >= today()", "relative", False),
        ("select 1 from orders where country = 'DE'", "none", True),
        ("select rand() from orders", "none", False),
        ("select generateUUIDv4(), hostName() from orders", "none", False),
        ("select 1 from orders where at >= CURRENT_DATE", "relative", False),
        ("select 1 from orders where at >= curdate()", "relative", False),
        ("select 1 from orders where at >= CURRENT_TIMESTAMP", "relative", False),
        ("select 1 from orders where at >= LOCALTIMESTAMP", "relative", False),
        ("select 1 from orders where at >= UTC_TIMESTAMP", "relative", False),
        ("select 1 from orders where at >= `now`()", "relative", False),
        ("select 1 from orders where at >= nowInBlock()", "relative", False),
        ("select 1 from orders where who = USER", "none", False),
        ("select arrayShuffle([1, 2]), queryID(), timezone() from orders", "none", False),
        ("select mine(at) from orders", "none", False),  # which nobody knows
        ("select count() from system.parts", "none", False),
        ("select a from url('http://there/', CSV, 'a Int32')", "none", False),
        ("select a from generateRandom('a Int32')", "none", False),
        ("select a from shop.those_since(since = '2026-01-01')", "none", False),
        ("select 'now()', orders.user from orders -- now()", "none", True),
        ("select number from numbers(10) where number in (1, 2) and (number) > 1", "none", True),
        (
            "select country, sumIf(amount, at > {a:DateTime('UTC')}) as n, uniqArrayIf([1], 1)"
            " from orders group by country order by n desc",
            "none",
            True,
        ),
        (
            "select cast(at as Nullable(Date)), amount::Decimal(9, 2), arrayJoin([1]), count() over"
            " (partition by at) from orders join o using (at) where exists (select 1)",
            "none",
            True,
        ),
    ],
)
def test_time_ranges_and_what_changes_by_itself(
    sql: str, time_range: str, is_deterministic: bool
) -> None:
    shape = describe(sql, NAMES)
    assert (shape.time_range, shape.is_deterministic) == (time_range, is_deterministic)


@pytest.mark.parametrize(
    "sql",
    [
        "select 1 from orders limit 1 by at limit 2",  # which the engine takes
        "select from where",
        "select 'jane",
        "insert into orders values ('jane')",
        f"select {'1 + ' * MAX_CHARACTERS} 1",
        "",
    ],
    ids=["limit by", "nonsense", "open string", "no query", "too long", "empty"],
)
def test_of_what_cannot_be_parsed_nothing_is_kept(sql: str) -> None:
    assert describe(sql, NAMES) == Shape()
