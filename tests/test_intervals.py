"""Intervals and tests of counts are those of scipy and of the papers."""

import pytest
from scipy.stats import binomtest

from classlens.intervals import difference_of, mcnemar, paired_gain, share_of


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (3, 9), (40, 41), (0, 12), (700, 800)])
def test_mcnemar_is_a_binomial_test(lost, won):
    exact = binomtest(lost, lost + won).pvalue if lost + won else 1

    assert mcnemar(lost, won) == pytest.approx(exact, rel=0.02)


@pytest.mark.parametrize(("hits", "trials"), [(0, 10), (3, 20), (128, 128), (77, 400)])
def test_shares_have_the_interval_of_wilson(hits, trials):
    interval = binomtest(hits, trials).proportion_ci(0.95, method="wilson")

    share = share_of(hits, trials)

    assert (share.low, share.high) == pytest.approx((interval.low, interval.high), abs=1e-9)


def test_the_interval_of_a_difference_is_newcombes():
    """Newcombe 1998, table II, method 10, of 56/70 and 48/80: 0.0524 to 0.3339."""
    assert difference_of(share_of(56, 70), share_of(48, 80)) == pytest.approx((0.0524, 0.3339), abs=1e-4)


def test_the_interval_of_a_paired_gain_is_walds():
    """Agresti, Categorical data analysis, 2nd ed., 2002, section 10.1.1: 944 and 880 of 1600 approve, 86 and 150 changed."""
    gain, low, high = paired_gain(150, 86, 1600)

    assert (gain, low, high) == pytest.approx((-0.040, -0.059, -0.021), abs=6e-4)


def test_a_share_of_no_trials_may_be_anything():
    share = share_of(0, 0)

    assert (share.trials, share.low, share.high) == (0, 0, 1)
