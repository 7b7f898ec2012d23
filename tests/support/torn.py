"""Two versions that answer so that a mix of them shows, and queries that name them more than once.

Each query answers with nothing but factors, of the version that each of its parts was answered by:
two different ones in one answer, and the query saw two states of the registry.
"""

from __future__ import annotations

import lightgbm as lgb
import numpy as np

from tests.support.small_bundle import FEATURE, USE_CASE
from treehouse.bench.network_graphs import mlp_graph
from treehouse.bundle import Bundle, Inputs, Network, e
from treehouse.forest import compile_forest
from treehouse.network import NetworkInputs, Scaling
from treehouse.project.contract import load_contract

SEQUENCES, EXPERIMENT, MOVING, SHADOW = "next_query", "torn", "torn_moving", "torn_shadow"
#: Of version 1 and version 2.
FACTORS = (3.0, 5.0)
ROWS = "(select toFloat64(number + 1) as x from numbers(1000))"
#: What the materialized view reads, an insert each time, and what it keeps.
SOURCE, KEPT = "treehouse.torn_source", "treehouse.torn_kept"
BLOCKS, BLOCK_ROWS = 5, 50

_FEATURES = [f.name for f in load_contract(USE_CASE).features]
_CALL = ", ".join("x" if name == FEATURE else "nan" for name in _FEATURES)
_FULL = f"predict_{USE_CASE}_full({_CALL})"
_VALUE = f"predict_{USE_CASE}({_CALL}) / x"
_OF_VERSION = f"[{FACTORS[0]}, {FACTORS[1]}]"
_NEXT = f"predict_{SEQUENCES}_full(20, 1, 1, '', '', ['1'], [1.])"


def booster(factor: float) -> lgb.Booster:
    """Its leaves, and so its contributions, grow with the factor."""
    rows = np.random.default_rng(1).gamma(1.0, 20.0, (100, len(_FEATURES)))
    settings = {"verbose": -1, "num_leaves": 3, "num_threads": 1}
    return lgb.train(settings, lgb.Dataset(rows, rows[:, 0] * factor), 2)


def contributions() -> tuple[float, float]:
    """Base and strongest contribution by LightGBM of the rows asked for, for a factor of 1."""
    row = np.full((1, len(_FEATURES)), np.nan)
    row[0, _FEATURES.index(FEATURE)] = 1.0
    *parts, base = np.asarray(booster(FACTORS[0]).predict(row, pred_contrib=True))[0]
    return float(base) / FACTORS[0], float(max(parts, key=abs)) / FACTORS[0]


def forest_bundle(factor: float) -> Bundle:
    """value = factor * x, low = 2 factor x, ..., and a forest that only explanations read."""
    contract = load_contract(USE_CASE)
    heads = {
        name: e.feature(FEATURE) * (factor * (i + 1)) + 0.0 * e.out(0)
        for i, name in enumerate(contract.heads)
    }
    forest = compile_forest(booster(factor), tuple(_FEATURES))
    inputs = Inputs(contract.of_kind("numeric"))
    version = FACTORS.index(factor) + 1
    return Bundle(USE_CASE, version, contract.hash, inputs, (forest,), heads)


def network_bundle(factor: float) -> Bundle:
    """Its first answer comes from a network that tells the factor, the others from formulas."""
    contract = load_contract(SEQUENCES)
    weights = {
        "w1": np.ones((1, 1), np.float32),
        "w2": np.full((1, 1), factor, np.float32),
    }
    inputs = NetworkInputs(numeric={"hour": Scaling(0.0, 1.0)})
    network = Network(mlp_graph(weights), inputs, ("told",), ("answer",))
    heads = dict.fromkeys(contract.heads, e.const(factor))
    heads[contract.heads[0]] = e.feature("told")
    return Bundle(
        SEQUENCES,
        FACTORS.index(factor) + 1,
        contract.hash,
        Inputs(
            contract.of_kind("numeric"),
            dict.fromkeys(contract.of_kind("categorical"), ()),
            contract.of_kind("tokens"),
            contract.of_kind("series"),
        ),
        (),
        heads,
        networks=(network,),
    )


def views() -> list[str]:
    """A view, a view of it beside the function itself, and a materialized view with its tables."""
    kept = "batch UInt64, value Float64, low Float64, version Float64, other Float64"
    return [
        f"create view treehouse.torn_view as select x, {_VALUE} as value from {ROWS}",
        "create view treehouse.torn_views as select value, "
        f"{_VALUE} as own, {_OF_VERSION}[{_FULL}.version] as version from treehouse.torn_view",
        f"create table {SOURCE} (batch UInt64, x Float64) engine = MergeTree order by batch",
        f"create table {KEPT} ({kept}) engine = MergeTree order by batch",
        f"create materialized view treehouse.torn_keeper to {KEPT} as with {_FULL} as p select "
        f"batch, p.value / x as value, p.low / x / 2 as low, {_OF_VERSION}[p.version] as version, "
        f"{_VALUE} as other from {SOURCE}",
    ]


def experiment() -> str:
    """Starts one whose units, in it or not, are all scored by the champion."""
    return _EVENTS + _event(EXPERIMENT, 0.5, ["a", "b"], [0, 0], is_shadow=False)


def moved(version: int) -> str:
    """Gives every unit of an experiment this version, in variants named by its factor; it is the
    challenger of another one too."""
    variants, versions = [str(FACTORS[version - 1])] * 2, [version] * 2
    events = (
        _event(MOVING, 1.0, variants, versions, is_shadow=False),
        _event(SHADOW, 1.0, variants, versions, is_shadow=True),
    )
    return _EVENTS + ", ".join(events)


_EVENTS = (
    "insert into treehouse_registry.experiments (experiment, action, salt, share, variants, "
    "weights, model, versions, is_shadow) values "
)


def _event(
    name: str, share: float, variants: list[str], versions: list[int], *, is_shadow: bool
) -> str:
    return (
        f"('{name}', 'start', 's', {share}, {variants}, [0.5, 0.5], '{USE_CASE}', {versions}, "
        f"{is_shadow})"
    )


def insert(batch: int) -> str:
    """Some blocks into the source of the materialized view, as one insert."""
    return (
        f"insert into {SOURCE} select {batch}, number + 1 from numbers({BLOCKS * BLOCK_ROWS}) "
        f"settings max_block_size = {BLOCK_ROWS}, min_insert_block_size_rows = 1, "
        "min_insert_block_size_bytes = 1"
    )


#: Of each insert: rows and factors that were kept.
KEPT_FACTORS = (
    "select count(), groupUniqArrayArray([value, low, version, other]) "
    f"from {KEPT} group by batch order by batch"
)


def queries() -> dict[str, str]:
    """Form to a query that answers with factors alone."""
    base, strongest = contributions()
    variant = f"predict_{USE_CASE}_variant_full('{EXPERIMENT}', x, {_CALL})"
    moving = f"predict_{USE_CASE}_variant_full('{MOVING}', x, {_CALL})"
    shadow = f"predict_{USE_CASE}_shadow('{SHADOW}', {_CALL})"
    top = f"explain_{USE_CASE}_top(1, {_CALL})[1].contribution"
    return {
        "alias": f"with {_FULL} as p select p.value / x, p.low / x / 2, p.high / x / 3, "
        f"{_OF_VERSION}[p.version] from {ROWS} limit 1",
        "two functions": f"select {_OF_VERSION}[{_FULL}.version], {_VALUE} from {ROWS} limit 1",
        "explained": f"select {_VALUE}, explain_{USE_CASE}({_CALL}).base / {base!r}, "
        f"{top} / {strongest!r} from {ROWS} limit 1",
        "where and order": f"select {_VALUE}, {_OF_VERSION}[{_FULL}.version] from {ROWS} "
        f"where {_VALUE} > 0 order by {_VALUE}, x limit 1 by {_VALUE} limit 1",
        "group and having": f"select {_VALUE} as value, any({_OF_VERSION}[{_FULL}.version]) "
        f"from {ROWS} where x = 1 group by value having value = min({_VALUE})",
        "subqueries": f"select {_VALUE}, (select any({_VALUE}) from {ROWS}), low "
        f"from {ROWS} as one inner join (select x, {_FULL}.low / x / 2 as low from {ROWS}) as two "
        "using x limit 1",
        "union": f"select groupUniqArray(f) from (select {_VALUE} as f from {ROWS} union all "
        f"select {_OF_VERSION}[{_FULL}.version] from {ROWS} limit 3000)",
        "views": f"select value, own, version, {_VALUE} from (select *, 1. as x "
        "from treehouse.torn_views limit 1)",
        "variant": f"with {variant} as p select p.value / x, p.low / x / 2, "
        f"{_OF_VERSION}[p.version] from {ROWS} limit 1",
        "moving experiment": f"with {moving} as p select p.value / x, {_OF_VERSION}[p.version], "
        f"toFloat64(variant('{MOVING}', x)), (select any(p.low / x / 2) from {ROWS}), "
        f"toFloat64(one) from {ROWS} as rows inner join (select x, variant('{MOVING}', x) as one "
        f"from {ROWS}) as two using x limit 1",
        "shadow": f"select {shadow}.challenger / x, again from {ROWS} as one inner join "
        f"(select x, {shadow}.challenger / x as again from {ROWS}) as two using x limit 1",
        "network and formulas": f"with {_NEXT} as p select round(p.value, 3), p.next_1, "
        f"{_OF_VERSION}[p.version], round({_NEXT}.value, 3)",
    }
