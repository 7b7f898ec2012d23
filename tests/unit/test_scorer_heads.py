"""Head programs: the scorer's machine against its NumPy twin, over generated expressions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.support.rows import EDGES
from tests.support.scorer_pipe import Scorer
from treehouse.bundle import Bundle, Expression, Inputs, e, evaluate
from treehouse.bundle.expressions import Op
from treehouse.project.errors import TreehouseError

Floats = NDArray[np.float64]

number = st.one_of(st.floats(-100, 100), st.sampled_from(EDGES.tolist()))
knots = st.lists(st.floats(-50, 50), min_size=1, max_size=6, unique=True).map(sorted)


@st.composite
def tables(draw: st.DrawFn, inner: st.SearchStrategy[Expression]) -> Expression:
    x = draw(knots)
    smooth = draw(st.booleans())
    size = len(x) + (0 if smooth else 1)
    values = draw(st.lists(st.floats(-10, 10), min_size=size, max_size=size))
    return (e.linear if smooth else e.step)(draw(inner), x, values)


def exact(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    """Operations that IEEE 754 rounds one way only."""
    two = [Op.ADD, Op.SUB, Op.MUL, Op.DIV, Op.MIN, Op.MAX, Op.LESS, Op.LESS_EQUAL, Op.EQUAL]
    return st.one_of(
        st.builds(lambda op, a, b: Expression(op, (a, b)), st.sampled_from(two), inner, inner),
        st.builds(
            lambda op, a: Expression(op, (a,)),
            st.sampled_from([Op.SQRT, Op.IS_NAN, Op.NEGATE]),
            inner,
        ),
        st.builds(e.select, inner, inner, inner),
        st.builds(e.if_nan, inner, inner),
        tables(inner),
    )


leaves = st.one_of(number.map(e.const), st.sampled_from(["x", "y", "c"]).map(e.feature))
expressions = st.recursive(leaves, exact, max_leaves=12)
CATEGORIES = ("a", "b", "c")


def rows() -> tuple[Floats, list[tuple[str]]]:
    rng = np.random.default_rng(0)
    x = np.concatenate([EDGES, rng.normal(size=600) * 30])
    y = rng.permutation(x)
    return np.stack([x, y], axis=1), [(rng.choice(["a", "b", "c", "", "?"]),) for _ in x]


def both(scorer: Scorer, expression: Expression) -> tuple[Floats, Floats]:
    numeric, strings = rows()
    inputs = Inputs(("x", "y"), {"c": CATEGORIES})
    bundle = Bundle("heads", 1, "c", inputs, (), {"v": expression})
    codes = [CATEGORIES.index(s) if s in CATEGORIES else np.nan for (s,) in strings]
    columns = {"x": numeric[:, 0], "y": numeric[:, 1], "c": np.array(codes)}
    expected = np.broadcast_to(evaluate(expression, inputs=columns), len(numeric))
    return scorer.score(bundle, numeric, strings)[:, 0], expected


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(expression=expressions)
def test_exact_operations_agree_bit_for_bit(scorer: Scorer, expression: Expression) -> None:
    found, expected = both(scorer, expression)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("function", [e.exp, e.expm1, e.log1p, e.sigmoid])
def test_transcendental_functions_agree_within_two_ulp(scorer: Scorer, function: object) -> None:
    found, expected = both(scorer, function(e.feature("x")))  # type: ignore[operator]
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    np.testing.assert_array_equal(found[~finite], expected[~finite])
    np.testing.assert_array_max_ulp(found[finite], expected[finite], maxulp=2)


def test_step_and_linear_tables() -> None:
    x = np.array([-1.0, 0.0, 0.5, 1.0, 2.0, np.nan])
    stepped = evaluate(e.step(e.feature("x"), [0, 1], [10, 20, 30]), inputs={"x": x})
    assert stepped.tolist() == [10, 20, 20, 30, 30, 10]
    smooth = evaluate(e.linear(e.feature("x"), [0, 1], [10, 20]), inputs={"x": x})
    np.testing.assert_array_equal(smooth, [10, 10, 15, 20, 20, np.nan])


def test_clip_keeps_nan_and_open_sides() -> None:
    x = np.array([-5.0, 0.0, 5.0, np.nan])
    value = e.feature("x")
    np.testing.assert_array_equal(
        evaluate(e.clip(value, 0, None), inputs={"x": x}), [0, 0, 5, np.nan]
    )
    np.testing.assert_array_equal(
        evaluate(e.clip(value, -1, 1), inputs={"x": x}), [-1, 0, 1, np.nan]
    )


def test_a_deeply_nested_expression_is_refused_by_the_scorer(
    scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of somebody else's making: ours are refused before."""
    monkeypatch.setattr("treehouse.bundle.programs._MOST_VALUES", 1000)
    expression = e.feature("x")
    for _ in range(100):
        expression = e.const(1) + expression
    number = scorer.publish(Bundle("deep", 1, "c", Inputs(("x",)), (), {"v": expression}))
    done = scorer.run(b"", "--check", str(scorer.folder / f"{number:016x}.bundle"))
    assert done.returncode == 1
    assert b"nested too deeply" in done.stderr


@pytest.mark.parametrize(
    ("x", "y"), [([1, 0], [1, 2]), ([0, 0], [1, 2]), ([0, np.inf], [1, 2]), ([0, 1], [1])]
)
def test_impossible_tables_are_refused(x: list[float], y: list[float]) -> None:
    with pytest.raises(TreehouseError):
        e.linear(e.feature("x"), x, y)


def test_a_chain_of_thousands_is_computed(scorer: Scorer) -> None:
    """Sums that begin at the left need two values at a time, however long they are."""
    x = e.feature("x")
    chain = x
    for _ in range(5000):
        chain = chain + 1.0
    rows = np.array([[0.5], [np.nan], [-7.0]])
    number = scorer.publish(Bundle("deep", 1, "c", Inputs(("x",)), (), {"sum": chain}))
    found = scorer.score(number, rows)
    np.testing.assert_array_equal(found[:, 0], rows[:, 0] + 5000)
    np.testing.assert_array_equal(found[:, 0], evaluate(chain, inputs={"x": rows[:, 0]}))


def test_what_no_stack_holds_is_refused() -> None:
    """Values that all wait for the last one, and a part that doubles at each step."""
    x = e.feature("x")
    nested, doubled = x, x
    for _ in range(5000):
        nested = 1.0 + nested
        doubled = e.if_nan(doubled, 0.0)
    for expression, why in ((nested, "nested too deeply"), (doubled, "too long")):
        with pytest.raises(TreehouseError, match=why):
            Bundle("deep", 1, "c", Inputs(("x",)), (), {"value": expression}).to_bytes()
