"""Rules that are generated, alone and in chains: what holds of every curve, whatever moves it."""

import csv
from functools import partial

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from classlens import Clock, Schedule, replay
from classlens.schedule.replay import table
from classlens.schedule.schedule import Accumulation, Group
from classlens.schedule.shapes import (
    ANNEALINGS,
    Link,
    chain,
    constant,
    cosine_annealing,
    cosine_restart,
    exponential,
    linear,
    multi_step,
    one_cycle,
    one_cycle_phases,
    polynomial,
    quadratic,
    step_decay,
)

SHARES = st.floats(0.05, 1.5)
LENGTHS = st.integers(1, 25)


def recipe(make, *arguments):
    """How to make a shape. It is made in the test: what checks types there draws from `random`, which strategies may not."""
    return st.builds(partial, st.just(make), *arguments)


def restarts(periods, minimum):
    return cosine_restart(periods, [0.9**turn for turn in range(len(periods))], minimum)


def cycle(total, legs, kind):
    return one_cycle(one_cycle_phases(total, 0.3, (0.1, 1.0, 0.001), legs), ANNEALINGS[kind])


FACTORS = st.one_of(
    recipe(constant, SHARES, LENGTHS),
    recipe(linear, SHARES, SHARES, LENGTHS),
    recipe(exponential, st.floats(0.5, 1.1)),
    recipe(step_decay, st.integers(1, 9), SHARES),
    recipe(multi_step, st.lists(st.integers(0, 30), max_size=4), SHARES),
)
"""Rules that multiply what they find, and know no value of their own."""
MINIMA = st.sampled_from([0.0, 0.01, 0.3])
SHAPES = st.one_of(
    FACTORS,
    recipe(polynomial, st.sampled_from([0.5, 1.0, 2.0]), MINIMA, LENGTHS),
    recipe(quadratic, LENGTHS),
    recipe(cosine_annealing, LENGTHS, MINIMA, st.sampled_from([0.0, 0.1])),
    recipe(restarts, st.lists(st.integers(1, 9), min_size=1, max_size=3), MINIMA),
    recipe(cycle, st.integers(8, 40), st.sampled_from([2, 3]), st.sampled_from(sorted(ANNEALINGS))),
)
CLOCKS = st.builds(Clock, st.integers(1, 8), st.integers(1, 8))
CLOSE = {"rtol": 1e-9, "atol": 1e-12}


@st.composite
def links(draw, shapes=SHAPES, units=("step", "epoch")):
    begin = draw(st.integers(0, 12))
    return draw(shapes), begin, begin + draw(st.integers(1, 40)), draw(st.sampled_from(units))


CHAINS = st.lists(links(), max_size=3)


def course(of, clock):
    return chain([Link(make(), *span) for make, *span in of], clock)


def values(of, clock, initial=0.7):
    return course(of, clock).values(np.arange(clock.steps), initial)


@settings(max_examples=60, deadline=None)
@given(CHAINS, CLOCKS, st.data())
def test_any_steps_in_any_order_have_the_values_of_the_run(of, clock, data):
    steps = np.array(data.draw(st.lists(st.integers(0, clock.steps - 1), max_size=20)), np.int64)
    trajectory = course(of, clock)

    np.testing.assert_array_equal(trajectory.values(steps, 0.7), values(of, clock)[steps])
    alone = [float(trajectory.values(np.array([step]), 0.7)[0]) for step in steps]
    np.testing.assert_array_equal(alone, values(of, clock)[steps])


@settings(max_examples=60, deadline=None)
@given(CHAINS, CLOCKS, st.floats(0.001, 100), st.floats(0.001, 100))
def test_a_value_is_its_start_times_a_factor_and_something_that_does_not_depend_on_it(of, clock, one, other):
    """So one evaluation serves all groups; without a rule that has numbers of its own it scales with its start."""
    slope = values(of, clock, 1.0) - values(of, clock, 0.0)
    scale = max(1.0, one, other) * max(1.0, np.abs(slope).max())

    difference = values(of, clock, one) - values(of, clock, other)

    np.testing.assert_allclose(difference, (one - other) * slope, rtol=1e-9, atol=1e-11 * scale)


@settings(max_examples=60, deadline=None)
@given(st.lists(links(FACTORS), max_size=3), CLOCKS, st.floats(0.001, 100))
def test_rules_that_know_no_value_scale_with_the_rate(of, clock, factor):
    np.testing.assert_allclose(values(of, clock, 0.7 * factor), factor * values(of, clock, 0.7), rtol=1e-9)


@settings(max_examples=60, deadline=None)
@given(CHAINS, CLOCKS, st.integers(1, 9))
def test_a_longer_run_begins_like_a_shorter_one(of, clock, more):
    longer = Clock((clock.epochs or 0) + more, clock.steps_per_epoch)

    np.testing.assert_allclose(values(of, longer)[: clock.steps], values(of, clock), **CLOSE)


@settings(max_examples=60, deadline=None)
@given(st.lists(links(FACTORS), min_size=2, max_size=3), CLOCKS, st.randoms(use_true_random=False))
def test_factors_act_in_any_order(of, clock, chance):
    mixed = chance.sample(of, len(of))

    np.testing.assert_allclose(values(mixed, clock), values(of, clock), rtol=1e-9)


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.integers(1, 20), st.integers(1, 40))
def test_a_rule_that_begins_later_is_the_same_later(shape, begin, span):
    now = values([(shape, 0, span, "step")], Clock.of_steps(60))
    later = values([(shape, begin, begin + span, "step")], Clock.of_steps(60 + begin))

    np.testing.assert_allclose(later[:begin], 0.7)
    np.testing.assert_allclose(later[begin:], now, **CLOSE)


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.integers(0, 6), st.integers(1, 12), CLOCKS)
def test_a_rule_over_epochs_moves_where_one_over_steps_moves_in_epochs_of_one_step(shape, begin, span, clock):
    by_epoch = values([(shape, begin, begin + span, "epoch")], clock)
    by_step = values([(shape, begin, begin + span, "step")], Clock.of_steps(clock.epochs))

    np.testing.assert_allclose(by_epoch, by_step.repeat(clock.steps_per_epoch), **CLOSE)


@settings(max_examples=60, deadline=None)
@given(CHAINS, CLOCKS, st.integers(1, 4), st.booleans())
def test_a_table_is_the_curves_and_points_lie_on_them(of, clock, batches, flushes):
    groups = tuple(Group(name, {"lr": lr, "momentum": 0.9}) for name, lr in (("a, b", 0.5), ('"c"', 1 / 3)))
    rules = {"lr": lambda clock: course(of, clock)}
    curves = replay(Schedule(groups, rules, accumulation=Accumulation(batches, flushes)), clock)

    rows = list(csv.DictReader("".join(table([curves])).splitlines()))

    assert len(rows) == 2 * clock.steps
    for curve in curves:
        of_group = [row for row in rows if row["group"] == curve.group.name]
        assert [int(row["step"]) for row in of_group] == list(range(clock.steps))
        assert [float(row["epoch"]) for row in of_group] == [
            step / clock.steps_per_epoch for step in range(clock.steps)
        ]
        assert [float(row[curve.name]) for row in of_group] == curve.values.tolist()
        steps, drawn = curve.points
        np.testing.assert_array_equal(drawn, curve.values[steps])
        assert curve.final == curve.values[-1]
        np.testing.assert_allclose(curve.peak[1], curve.values.max(), rtol=1e-12)
        assert curve.peak[0] == np.argmax(curve.values >= curve.values.max() * (1 - 1e-12))
