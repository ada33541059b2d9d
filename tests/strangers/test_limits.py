"""The measure itself: a run that takes too much is seen to."""

from tests.strangers.limits import Ending, megabytes_to_start, needs_prlimit, run_limited

pytestmark = needs_prlimit


def test_a_plain_run_is_measured(tmp_path):
    ending = run_limited(["--version"], cwd=tmp_path)

    assert ending.status == 0
    assert ending.out.startswith("classlens ")
    assert 0 < ending.seconds < 5
    assert 5 < ending.megabytes < 500
    assert list(tmp_path.iterdir()) == []


def test_too_much_is_too_much():
    start = megabytes_to_start()

    assert Ending(2, "", "", 4.9, start + 400).is_bounded()
    assert not Ending(2, "", "", 5.1, start).is_bounded()
    assert not Ending(2, "", "", 1.0, start + 600).is_bounded()
