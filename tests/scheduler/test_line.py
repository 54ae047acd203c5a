from datetime import timedelta

import pytest

from scheduler.line import PROBE_MOST, RECOVERS, SLOWEST, Line, Pace


def test_sends_that_fell_together_count_once():
    line = Line()
    for _ in range(16):
        line.not_reached(0.0, 1.0, chance=0.5)
    assert line.is_down
    assert line.probe_at == pytest.approx(2.0)


def test_a_dead_line_is_tried_ever_more_rarely_but_never_given_up():
    line, now, waits = Line(), 0.0, []
    for _ in range(10):
        line.not_reached(now + 0.001, now + 0.002, chance=0.5)
        waits.append(line.probe_at - now)
        now = line.probe_at
    assert waits[:4] == pytest.approx([1, 2, 4, 8], abs=0.01)
    assert max(waits) == pytest.approx(PROBE_MOST, abs=0.01)


def test_one_good_send_brings_the_line_back():
    line = Line()
    line.not_reached(0.0, 1.0, chance=0.5)
    line.good(3.0)
    assert not line.is_down


def test_three_sends_of_unknown_outcome_in_a_row_stop_the_stream():
    line = Line()
    for _ in range(2):
        line.lost(0.0, 1.0, chance=0.5)
    assert not line.is_down
    line.good(1.0)
    for _ in range(3):
        line.lost(2.0, 3.0, chance=0.5)
    assert line.is_down


def test_one_throttled_chat_slows_nobody_else():
    pace = Pace()
    assert [pace.throttled(7, now) for now in (0.0, 1.0, 2.0)] == [False] * 3
    assert pace.share == 1


def test_a_second_chat_slows_the_whole_channel_and_quiet_times_bring_the_rate_back():
    pace = Pace()
    pace.throttled(7, 0.0)
    assert pace.throttled(8, 5.0)
    assert pace.throttled(9, 5.5)
    assert pace.share == 1 / 2  # what was in flight together is one reproach
    assert pace.throttled(7, 20.0)
    assert pace.share == 1 / 4
    pace.recover(20.0 + RECOVERS)
    assert pace.share == 1 / 4
    pace.recover(20.1 + RECOVERS)
    assert pace.share == 1 / 2


def test_the_rate_never_falls_to_nothing():
    pace = Pace()
    for now in range(0, 200, 2):
        pace.throttled(now % 4, float(now))
    assert pace.share == SLOWEST


@pytest.mark.parametrize(
    ("told", "least"),
    [pytest.param(timedelta(seconds=7), 7.0, id="told"), pytest.param(None, 1.0, id="not told")],
)
def test_the_wait_is_a_little_longer_than_told(told, least):
    wait = Pace().wait(told, chance=1.0)
    assert timedelta(seconds=least) < wait <= timedelta(seconds=least + 0.6)
