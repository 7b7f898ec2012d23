"""A training set for the small bundles: the label is three times amount_1m, with noise."""

from __future__ import annotations

from clickhouse_connect.driver.client import Client

from tests.support.small_bundle import FEATURE, USE_CASE
from treehouse.clickhouse.client import run_script
from treehouse.fit.dataset import lineage
from treehouse.spec import load_spec

TABLE = f"treehouse.{USE_CASE}_training_set"
TEST_ROWS = 200
_SPLITS = {"train": 300, "validation": 50, "calibration": 60, "test": TEST_ROWS}


def make_training_set(client: Client, *, test_day: str = "1998-01-01") -> int:
    """Make the table anew, and answer its fingerprint."""
    spec = load_spec(USE_CASE)
    contract = spec.contract
    own = {
        FEATURE: "amount",
        "visits_6m": "number % 3",
        "largest_gap_days": "if(number % 2, 7, null)",
    }
    features = ", ".join(
        f"cast({own.get(f.name, 'cityHash64(number, ' + repr(f.name) + ') % 90')}, '{f.type}') "
        f"as {f.name}"
        for f in contract.features
    )
    rows = [
        f"""
        select
            number as customer_id,
            toDate('{test_day if split == "test" else "1997-06-01"}') as as_of,
            -log((cityHash64(number, '{split}') % 9999 + 1) / 10000) * 20 as amount,
            {features},
            3 * amount * (0.5 + (cityHash64(number, 'noise') % 1000) / 1000) as future_amount,
            '{split}' as split
        from numbers({size})
        """
        for split, size in _SPLITS.items()
    ]
    run_script(
        client,
        [
            f"drop table if exists {TABLE} sync",
            f"create table {TABLE} engine = MergeTree order by (as_of, customer_id) "
            f"settings allow_nullable_key = 1 as {' union all '.join(rows)}",
        ],
    )
    return int(lineage(client, TABLE, spec, ("train",))["fingerprint"])
