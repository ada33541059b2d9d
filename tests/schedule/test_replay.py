import json

import numpy as np
import pytest

import classlens
from classlens import Clock, Schedule, replay
from classlens.schedule.replay import summarize, table
from classlens.schedule.schedule import Batches, Group, elementwise, follow_function, scale_by_batch
from classlens.schedule.shapes import (
    ANNEALINGS,
    Link,
    chain,
    cosine_annealing,
    linear,
    multi_step,
    one_cycle,
    one_cycle_phases,
    step_decay,
)

CLOCK = Clock(epochs=4, steps_per_epoch=5)


def cosine_after_warmup(clock):
    warm = clock.steps // 10
    links = [
        Link(linear(0.01, 1.0, warm - 1), 0, warm, "step"),
        Link(cosine_annealing(clock.steps - warm), warm, clock.steps, "step"),
    ]
    return chain(links, clock)


def schedule(rule=cosine_after_warmup, **groups):
    groups = groups or {"all": 0.1}
    return Schedule(
        tuple(Group(name, {"lr": lr, "weight_decay": 0.05}, rules={}) for name, lr in groups.items()), {"lr": rule}
    )


def test_every_group_has_a_curve_of_every_value():
    curves = replay(schedule(head=1.0, body=0.1), CLOCK)

    assert [(curve.name, curve.group.name) for curve in curves] == [
        ("lr", "head"), ("lr", "body"), ("weight_decay", "head"), ("weight_decay", "body"),
    ]  # fmt: skip
    assert curves.names == ("lr", "weight_decay")
    np.testing.assert_allclose(curves[0].values, 10 * curves[1].values)


def test_a_value_without_a_rule_stays():
    assert set(replay(schedule(), CLOCK, names=["weight_decay"])[0].values) == {0.05}


def test_a_rule_of_the_group_comes_before_that_of_the_schedule():
    own = Group(
        "head", {"lr": 1.0}, rules={"lr": lambda clock: chain([Link(step_decay(1, 0.5), 0, 99, "step")], clock)}
    )
    curves = replay(Schedule((own,), {"lr": cosine_after_warmup}), Clock.of_steps(3))

    assert curves[0].values.tolist() == [1.0, 0.5, 0.25]


def test_an_unknown_value_is_told_with_those_there_are():
    with pytest.raises(KeyError, match="no group has 'momentum'; there is: lr, weight_decay"):
        replay(schedule(), CLOCK, names=["momentum"])


def test_a_step_outside_the_run_is_an_index_error():
    curve = replay(schedule(), CLOCK)[0]

    with pytest.raises(IndexError, match="the run has steps 0 to 19, not 20 to 20"):
        curve.at([20])


@pytest.mark.parametrize("steps", [7, 40, 5_000, 400_000])
def test_straight_lines_between_the_drawn_points_lie_on_the_curve(steps):
    clock = Clock(epochs=max(1, steps // 100), steps_per_epoch=min(100, steps))
    links = [
        Link(linear(0.01, 1.0, clock.steps // 9), 0, clock.steps // 9 + 1, "step"),
        Link(cosine_annealing(clock.epochs), 0, 10**9, "epoch"),
        Link(multi_step((clock.steps * 0.7 // 1,), 0.3), 0, 10**9, "step"),
    ]
    curve = replay(schedule(lambda clock: chain(links, clock)), clock)[0]

    drawn = np.interp(np.arange(clock.steps), *curve.points)

    np.testing.assert_allclose(drawn, curve.values, atol=2e-6 * curve.peak[1])


def test_a_function_is_drawn_with_its_bend_and_its_jump():
    def rule(clock):
        return follow_function(elementwise(lambda step: min(step / 77_777, 1) if step < 600_001 else 0.2), clock)

    curve = replay(schedule(rule), Clock.of_steps(1_000_000))[0]
    steps, values = curve.points

    asked = np.array([77_700, 77_777, 77_900, 600_000, 600_001])
    np.testing.assert_allclose(np.interp(asked, steps, values), curve.at(asked), atol=1e-5)
    assert {77_777, 600_001} <= set(curve.trajectory.breaks)


def test_the_corners_of_a_one_cycle_are_drawn():
    def rule(clock):
        phases = one_cycle_phases(clock.steps, 0.3, (0.1, 1.0, 0.001), 3)
        return chain([Link(one_cycle(phases, ANNEALINGS["linear"]), 0, 10**9, "step")], clock)

    curve = replay(schedule(rule), Clock.of_steps(100_000))[0]

    drawn = np.interp(np.arange(100_000), *curve.points)

    np.testing.assert_allclose(drawn, curve.values, atol=1e-9)


def test_peak_and_final_are_exact():
    curve = replay(schedule(), Clock.of_steps(1000))[0]

    assert curve.peak == (99, pytest.approx(0.1))
    assert curve.final == curve.values[-1]
    assert repr(curve) == "<Curve lr of 'all': peak 0.1 at step 99, final 3.04617e-07>"


def test_a_billion_steps_need_no_list():
    curve = replay(schedule(), Clock.of_steps(10**9))[0]

    assert len(curve.points[0]) < 5000


def test_the_table_has_a_row_for_every_step_and_group_with_every_digit():
    curves = replay(schedule(head=1.0, body=1 / 3), CLOCK)

    head, *rows = [line.split(",") for line in "".join(table([curves])).splitlines()]

    assert head == ["step", "epoch", "group", "lr", "momentum", "weight_decay"]
    assert len(rows) == 2 * CLOCK.steps
    assert [row[2] for row in rows[:3]] == ["head", "body", "head"]
    body = [float(row[3]) for row in rows if row[2] == "body"]
    assert body == curves[1].values.tolist()
    assert rows[-1][:2] == ["19", "3.8"]


def test_the_table_of_several_runs_says_which():
    runs = [replay(schedule(), CLOCK, title=title) for title in ("a", 'b, "old"')]

    lines = "".join(table(runs)).splitlines(keepends=True)

    assert lines[0].startswith("run,step,")
    assert lines[1].startswith("a,0,")
    assert lines[-1].startswith('"b, ""old""",19,')


def test_the_summary_is_plain_data():
    data = json.loads(json.dumps(summarize(replay(schedule(), CLOCK, title="run"))))

    assert (data["steps"], data["epochs"], data["steps_per_epoch"]) == (20, 4, 5)
    assert data["curves"][0]["points"]["step"] == list(range(20))
    assert data["curves"][0]["peak"] == pytest.approx(0.1)


def test_rates_are_scaled_with_the_batch_size_and_nothing_else():
    given = Schedule((Group("all", {"lr": 0.1, "weight_decay": 0.05}),), batches=Batches(64, 256))

    scaled = scale_by_batch(given, gpus=8)

    assert scaled.groups[0].initial == {"lr": 0.2, "weight_decay": 0.05}
    assert scaled.notes == ("learning rates are scaled by 2: batches of 8 x 64 = 512, chosen for 256",)


def test_rates_cannot_be_scaled_without_a_batch_size():
    with pytest.raises(classlens.ClasslensError, match="the batch size it was chosen for is unknown"):
        scale_by_batch(schedule(), gpus=8)


def test_a_schedule_has_groups():
    with pytest.raises(ValueError, match="at least one parameter group"):
        replay(Schedule(()), CLOCK)
