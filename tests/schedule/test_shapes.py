"""Shapes in closed form against the moves they stand for, made one by one."""

import numpy as np
import pytest

from classlens import Clock
from classlens.errors import ConfigError
from classlens.schedule import shapes
from classlens.schedule.shapes import (
    ANNEALINGS,
    INITIAL,
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

FOREVER = 10**9
SHAPES = {
    "constant": constant(0.3, 11),
    "linear": linear(0.1, 0.8, 19),
    "exponential": exponential(0.9),
    "step": step_decay(4, 0.5),
    "multi-step": multi_step((3.0, 3.0, 9.0, 2.5), 0.5),
    "polynomial": polynomial(1.5, 0.01, 30),
    "cosine": cosine_annealing(7, 0.02),
    "cosine with ratio": cosine_annealing(12, 0.0, 0.1),
    "restarts": cosine_restart((5, 8, 11), (1.0, 0.5, 0.2), 0.01),
    "quadratic": quadratic(39),
    "one-cycle": one_cycle(one_cycle_phases(40, 0.3, (0.1, 1.0, 0.001), 2), ANNEALINGS["cos"]),
}


def at_all(links, clock, initial=1.0):
    return chain(links, clock).values(np.arange(clock.steps), initial)


def moved(shape, steps, initial=1.0):
    """The value after each single move."""
    value, seen = INITIAL, []
    for step in range(steps):
        value = shape.piece(step, INITIAL).after(value, np.array([step - 1.0]), np.array([float(step)]))
        seen.append(float(value[0, 0] * initial + value[1, 0]))
    return seen


@pytest.mark.parametrize("name", SHAPES)
def test_the_closed_form_of_a_shape_is_its_moves_one_by_one(name):
    values = at_all([Link(SHAPES[name], 0, FOREVER, "step")], Clock.of_steps(40), initial=0.7)

    np.testing.assert_allclose(values, moved(SHAPES[name], 40, 0.7), rtol=1e-9, atol=1e-15)


def test_a_quadratic_warmup_adds_its_shares_to_what_it_finds():
    """MMDetection's QuadraticWarmupParamScheduler: x + base * (2 * step + 1) / steps ** 2, and from 0 at first."""
    links = [Link(quadratic(5), 0, 6, "step"), Link(step_decay(4, 0.5), 0, FOREVER, "step")]
    value, expected = 0.0, []
    for step in range(9):
        value = value + 0.7 * (2 * step + 1) / 36 if step < 6 else value
        value *= 0.5 if step in (4, 8) else 1
        expected.append(value)

    assert at_all(links, Clock.of_steps(9), initial=0.7) == pytest.approx(expected, rel=1e-12)


def test_what_counts_epochs_moves_after_what_counts_steps_where_an_epoch_is_one_step():
    links = [Link(step_decay(1, 0.5), 0, FOREVER, "epoch"), Link(cosine_annealing(10, 0.1), 0, FOREVER, "step")]

    values = at_all(links, Clock(epochs=3, steps_per_epoch=1))

    shares = (1 + np.cos(np.pi * np.arange(1, 3) / 10)) / 2
    first = (0.1 + 0.9 * shares[0]) * 0.5
    assert values == pytest.approx([1.0, first, (0.1 + (first - 0.1) * shares[1] / shares[0]) * 0.5])


def test_a_half_cosine_ends_at_its_floor_and_rises_to_the_base_again():
    values = at_all([Link(cosine_annealing(10, 0.1), 0, FOREVER, "step")], Clock.of_steps(21), initial=0.9)

    assert values[[0, 5, 10, 15, 20]] == pytest.approx([0.9, 0.5, 0.1, 0.5, 0.9])


def test_a_linear_warmup_and_a_cosine_after_it_meet_at_the_base():
    links = [Link(linear(0.01, 1.0, 4), 0, 5, "step"), Link(cosine_annealing(15), 5, 20, "step")]

    values = at_all(links, Clock.of_steps(20))

    assert values[[0, 4, 5]] == pytest.approx([0.01, 1.0, 1.0])
    assert values[12] == pytest.approx((1 + np.cos(np.pi * 7 / 15)) / 2)


def test_overlapping_factors_multiply():
    links = [Link(step_decay(3, 0.5), 0, FOREVER, "step"), Link(linear(0.2, 1.0, 9), 0, 10, "step")]

    values = at_all(links, Clock.of_steps(10))

    assert values[[0, 3, 9]] == pytest.approx([0.2, 0.5 * (0.2 + 0.8 * 3 / 9), 0.125])


def test_links_that_disturb_each_other_are_walked():
    links = [Link(cosine_annealing(8, 0.1), 0, FOREVER, "step"), Link(exponential(0.9), 0, FOREVER, "step")]
    value, expected = 1.0, []
    for step in range(8):
        if step:
            cosine = (1 + np.cos(np.pi * step / 8)) / (1 + np.cos(np.pi * (step - 1) / 8))
            value = (0.1 + (value - 0.1) * cosine) * 0.9
        expected.append(value)

    assert at_all(links, Clock.of_steps(8)) == pytest.approx(expected, rel=1e-12)


def test_epochs_move_at_epoch_boundaries_after_the_steps():
    links = [Link(step_decay(1, 0.5), 0, FOREVER, "epoch"), Link(cosine_annealing(100, 0.1), 0, FOREVER, "step")]

    values = at_all(links, Clock(epochs=2, steps_per_epoch=3))

    def cosine(value, step):
        return 0.1 + (value - 0.1) * (1 + np.cos(np.pi * step / 100)) / (1 + np.cos(np.pi * (step - 1) / 100))

    before = cosine(cosine(1.0, 1), 2)
    assert values[2] == pytest.approx(before, rel=1e-12)
    assert values[3] == pytest.approx(0.5 * cosine(before, 3), rel=1e-12)


def test_epoch_links_do_nothing_in_a_run_over_steps_but_their_first_move():
    links = [Link(constant(0.5, 4), 0, 5, "epoch")]

    assert at_all(links, Clock.of_steps(6, 2)).tolist() == [0.5] * 6


def test_one_evaluation_serves_groups_of_any_initial_value():
    course = chain([Link(cosine_annealing(10, 0.1), 0, 10, "step")], Clock.of_steps(10))
    steps = np.arange(10)

    np.testing.assert_allclose(
        course.values(steps, 2.0) - course.values(steps, 1.0), course.values(steps, 1.0) - course.values(steps, 0.0)
    )


def test_steps_may_be_asked_in_any_order_and_twice():
    course = chain([Link(multi_step((2.0, 5.0), 0.1), 0, FOREVER, "step")], Clock.of_steps(8))

    assert course.values(np.array([7, 0, 3, 3, 1]), 1.0) == pytest.approx([0.01, 1, 0.1, 0.1, 1])


def test_a_group_that_starts_at_zero_can_be_left_alone():
    course = chain([Link(cosine_annealing(4, 0.5), 0, 4, "step")], Clock.of_steps(4), zero_stays=True)

    assert course.values(np.arange(4), 0.0).tolist() == [0.0] * 4
    assert course.values(np.arange(4), 1.0)[3] > 0.5


def test_a_ramp_from_zero_is_drawn_as_it_was_meant():
    values = at_all([Link(linear(0.0, 1.0, 4), 0, 5, "step")], Clock.of_steps(5))

    assert values.tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_a_billion_steps_cost_no_more_than_a_hundred():
    links = [
        Link(linear(0.01, 1.0, 10**6 - 1), 0, 10**6, "step"),
        Link(cosine_annealing(10**9), 10**6, FOREVER, "step"),
    ]

    course = chain(links, Clock.of_steps(10**9))

    assert course.breaks.size < 10
    assert course.values(np.array([10**9 // 2]), 1.0)[0] == pytest.approx(0.5, abs=0.01)


def test_a_cosine_alone_may_swing_for_ever():
    course = chain([Link(cosine_annealing(90, 0.1), 0, FOREVER, "step")], Clock.of_steps(10**9))

    steps = np.array([0, 90, 135, 180, 90 * 10**7, 90 * (10**7 + 1)])
    assert course.values(steps, 1.0) == pytest.approx([1, 0.1, 0.55, 1, 1, 0.1], abs=1e-6)


def test_swinging_for_ever_is_refused_with_the_probable_cause(monkeypatch):
    monkeypatch.setattr(shapes, "MOST_SECTIONS", 50)

    with pytest.raises(ConfigError, match=r"changes direction more than 50 times in 1,000 steps") as caught:
        chain(
            [Link(cosine_annealing(2), 0, FOREVER, "step"), Link(exponential(0.9), 0, FOREVER, "step")],
            Clock.of_steps(1000),
        )

    assert "T_max" in caught.value.hint


def test_walking_too_far_is_refused_with_a_way_out():
    links = [Link(cosine_annealing(10**9, 0.1), 0, FOREVER, "step"), Link(exponential(0.9), 0, FOREVER, "step")]

    with pytest.raises(ConfigError, match="2 schedules with an absolute minimum act on each other") as caught:
        chain(links, Clock.of_steps(10**9))

    assert "eta_min_ratio" in caught.value.hint
