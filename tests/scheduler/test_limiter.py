"""What the messenger sees, whatever the way to it does."""

import heapq
from bisect import bisect_left
from datetime import timedelta
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.contract import Limits
from scheduler.limiter import ALLOWANCE, MARGIN, WARM_UP, Limiter

PER_SECOND = 30
TELEGRAM = Limits(text=1, caption=1, per_second=PER_SECOND, chat_gap=timedelta(seconds=1), group_per_minute=20)


class Far:
    """A simulated messenger: calls start when the limiter lets them, arrive and are answered by a clock of ours."""

    def __init__(self, limits: Limits, ways: list[tuple[float, float]], *, in_flight: int = 16) -> None:
        """`ways`: seconds there and back of each call, in turn."""
        self.limiter = Limiter(limits)
        self.ways = ways
        self.in_flight = in_flight
        self.arrivals: list[float] = []
        self.now = 0.0

    def send(self, count: int, *, chats: int | None = None) -> float:
        """Send `count` messages, to as many chats (or to `chats` in turn); returns when the last one was answered."""
        answers: list[tuple[float, int, float]] = []
        busy: set[int] = set()
        sent = 0
        while sent < count or answers:
            chat = sent % (chats or count)
            ready = self.limiter.ready_at(chat, is_group=True)
            free = len(answers) < self.in_flight and chat not in busy
            if sent < count and free and ready <= self.now:
                there, back = self.ways[sent % len(self.ways)]
                self.limiter.started(chat, is_group=True)
                self.arrivals.append(self.now + there)
                heapq.heappush(answers, (self.now + there + back, chat, self.now))
                busy.add(chat)
                sent += 1
            elif answers and (sent == count or not free or answers[0][0] <= ready):
                self.now, chat, began = heapq.heappop(answers)
                self.limiter.finished(chat, is_group=True, began=began, now=self.now)
                busy.discard(chat)
            else:
                self.now = ready
        return self.now

    def most_in(self, period: float) -> int:
        """The most arrivals in any sliding period."""
        arrived = sorted(self.arrivals)
        # Half open: what is exactly a period apart is two periods.
        return max(bisect_left(arrived, at + period - 1e-9) - place for place, at in enumerate(arrived))


@pytest.mark.parametrize(
    ("groups", "latency", "allowed"),
    [
        pytest.param(200, 0.08, 1.05, id="200 groups"),
        pytest.param(3000, 0.08, 1.03, id="3000 groups"),
        pytest.param(3000, 0.3, 1.03, id="3000 groups, slow answers"),
        pytest.param(600, 0.001, 1.05, id="hardly any latency"),
    ],
)
def test_a_broadcast_takes_hardly_longer_than_the_limit_allows(groups, latency, allowed):
    far = Far(TELEGRAM, [(latency / 2, latency / 2)])
    assert far.send(groups) <= allowed * groups / PER_SECOND
    assert far.most_in(1.0) <= PER_SECOND


@settings(max_examples=150, deadline=None)
@given(
    base=st.floats(0.001, 0.4),
    jitter=st.lists(st.tuples(st.floats(0, ALLOWANCE), st.floats(0, 2.0)), min_size=1, max_size=60),
    count=st.integers(31, 200),
)
def test_no_sliding_second_sees_more_than_its_share_whatever_the_way_does(base, jitter, count):
    # The way there is late by up to the allowance; the answer as late as it likes.
    ways = [(base + there, base + back) for there, back in jitter]
    ways[0] = (base, base)  # the least latency was seen lately
    far = Far(TELEGRAM, ways)
    far.send(count)
    assert far.most_in(1.0) <= PER_SECOND


def test_a_group_gets_no_more_than_its_share_of_a_minute_and_of_a_second():
    far = Far(TELEGRAM, [(0.05, 0.05)])
    far.send(50, chats=1)
    assert far.most_in(60.0) == 20
    assert far.most_in(1.0) == 1


def test_other_chats_do_not_wait_for_a_busy_one():
    limiter = Limiter(TELEGRAM)
    limiter.started(1, is_group=True)
    limiter.finished(1, is_group=True, began=0.0, now=0.1)
    assert limiter.ready_at(1, is_group=True) == pytest.approx(1.1)
    assert limiter.ready_at(2, is_group=True) <= 0.1


def test_constant_latency_costs_no_more_than_the_margin():
    limiter = Limiter(Limits(text=1, caption=1, per_second=1))
    for call in range(WARM_UP + 1):
        limiter.started(1, is_group=False)
        limiter.finished(1, is_group=False, began=2.0 * call, now=2.0 * call + 0.7)
    assert limiter.ready_at(2, is_group=False) == pytest.approx(2.0 * WARM_UP + 1.0 + MARGIN)


def test_a_call_without_an_answer_counts_until_it_has_one():
    limiter = Limiter(Limits(text=1, caption=1, per_second=2))
    limiter.started(1, is_group=False)
    assert limiter.room(100.0) == 1
    limiter.started(2, is_group=False)
    assert limiter.room(100.0) == 0
    assert limiter.ready_at(3, is_group=False) == inf
    limiter.finished(1, is_group=False, began=0.0, now=100.0)
    assert limiter.room(100.9) == 0
    assert limiter.room(101.0) == 1


def test_the_first_calls_may_all_arrive_late_because_they_open_connections():
    # All of the first in flight take 1.2 s there; from then on the way is short.
    far = Far(TELEGRAM, [(1.2, 0.04)] * 16 + [(0.04, 0.04)] * 400)
    far.send(300)
    assert far.most_in(1.0) <= PER_SECOND


def test_a_first_call_that_goes_alone_says_nothing_about_the_many_that_open_connections_after_it():
    # A notice's picture is uploaded by one call, which is slow for its size; then all the others begin.
    far = Far(TELEGRAM, [(0.001, 0.012)] + [(0.02, 0.001)] * 29 + [(0.001, 0.001)] * 170)
    far.send(200)
    assert far.most_in(1.0) <= PER_SECOND


def test_who_takes_over_goes_evenly_because_nobody_knows_what_was_sent_a_moment_ago():
    far = Far(TELEGRAM, [(0.01, 0.01)])
    far.limiter.take_over(0.0)
    far.send(60)
    waits = [later - earlier for earlier, later in zip(far.arrivals, far.arrivals[1:], strict=False)]
    assert far.arrivals[0] > 0.0
    assert min(waits[: PER_SECOND - 1]) > 0.9 / PER_SECOND


def test_without_limits_everything_may_start_at_once():
    limiter = Limiter(Limits(text=1, caption=1))
    for chat in range(5000):
        limiter.started(chat, is_group=True)
        limiter.finished(chat, is_group=True, began=0.0, now=0.0)
    assert limiter.ready_at(1, is_group=True) <= 0.0
    assert limiter.room(0.0) > 1000


def test_a_pause_holds_all_chats_and_ends():
    limiter = Limiter(TELEGRAM)
    limiter.pause(5.0)
    limiter.pause(3.0)
    assert limiter.room(4.9) == 0
    assert limiter.ready_at(1, is_group=True) == 5.0
    assert limiter.room(5.0) == PER_SECOND


def test_chats_that_limit_nothing_any_more_are_forgotten():
    limiter = Limiter(TELEGRAM)
    for chat in range(20_000):
        at = chat / PER_SECOND * 2
        limiter.started(chat, is_group=True)
        limiter.finished(chat, is_group=True, began=at, now=at + 0.01)
    assert len(limiter._groups) + len(limiter._rested_at) < 5000
