import math

import numpy as np
import pytest
from scipy import stats

from unfold.evaluation.statistics import summarize


@pytest.mark.parametrize("draw", ["normal", "exponential"])
def test_the_interval_is_scipys(draw):
    values = getattr(np.random.default_rng(3), draw)(size=80)
    got = summarize(values)
    want = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=20_000, random_state=7
    ).confidence_interval
    width = want.high - want.low
    assert got.mean == pytest.approx(values.mean())
    assert got.low == pytest.approx(want.low, abs=0.06 * width)
    assert got.high == pytest.approx(want.high, abs=0.06 * width)


def test_it_is_repeatable_and_does_not_depend_on_numpys_global_seed():
    values = list(range(10))
    first = summarize(values)
    np.random.seed(5)
    assert summarize(values) == first


def test_infinite_values_are_counted_and_left_out():
    got = summarize([30.0, math.inf, 32.0, math.inf])
    assert (got.mean, got.count, got.infinite) == (31, 2, 2)
    assert summarize([math.inf]).mean is None
    assert summarize([]).count == 0


def test_one_value_has_no_interval():
    got = summarize([3.0])
    assert (got.mean, got.low, got.high) == (3, None, None)
