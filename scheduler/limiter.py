"""When a send may start, so that the messenger never sees more than it allows. Pure: the caller brings the time.

The messenger counts arrivals; we only know when a call started and when its answer came. A call may have arrived as
late as its answer was slow: at `start + (latency - least latency seen lately)`, beside a way out that all calls share.
So a call without an answer counts as arriving now, one with an answer is charged at that latest moment, and a new one
may start a whole period after the charge that it must not meet. Whatever the way does to single calls, no sliding
period then sees more than its share at the far end; where the latency is constant nothing is lost but `MARGIN`.
"""

from bisect import bisect_right, insort
from collections import deque

from adapters.contract import Limits

SECOND = 1.0
MINUTE = 60.0
MARGIN = 0.005
"""Clocks and wake-ups are no finer."""
ALLOWANCE = 1.0
"""Delay beyond this is taken for slowness of the answer, not of the way. A busy machine easily adds half a second."""
LATELY = 512
"""Calls among which the least latency is looked for: many, so that a slow spell does not pass for the way itself."""
WARM_UP = 32
"""Answers until the least latency is known: by then as many connections as are used beside each other have been opened
and used again, though one call may well have gone alone before them."""
UNLIMITED = 1 << 30
FORGET_ABOVE = 1024
"""Chats kept before those that no longer limit anything are looked for."""


class Window:
    """At most `most` arrivals in any sliding `period`: calls under way, and the charges of those that are over."""

    def __init__(self, most: int, period: float) -> None:
        self.most = most
        self.period = period
        self._under_way = 0
        self._charges: list[float] = []

    def ready_at(self) -> float:
        """From when on one more call fits; endless while only an answer can make room."""
        free = self.most - self._under_way
        if free <= 0:
            return float("inf")
        return self._charges[-free] + self.period if len(self._charges) >= free else float("-inf")

    def room(self, now: float) -> int:
        """How many more calls fit now."""
        charged = len(self._charges) - bisect_right(self._charges, now - self.period)
        return max(self.most - self._under_way - charged, 0)

    def fill(self, now: float) -> None:
        """Charge all of it, evenly, over the period that ends now."""
        self._charges = [now - self.period * left / self.most for left in reversed(range(self.most))]

    def begin(self) -> None:
        self._under_way += 1

    def end(self, charge: float, now: float) -> None:
        self._under_way -= 1
        insort(self._charges, charge)
        self.forget(now)

    def forget(self, now: float) -> None:
        """Drop what limits nothing any more."""
        del self._charges[: bisect_right(self._charges, now - self.period)]

    @property
    def is_empty(self) -> bool:
        return not (self._charges or self._under_way)


class Limiter:
    """One channel's limits. Times are seconds of one monotonic clock."""

    def __init__(self, limits: Limits) -> None:
        self._second = Window(limits.per_second, SECOND) if limits.per_second else None
        self._per_second = limits.per_second or 0
        self._gap = limits.chat_gap.total_seconds()
        self._per_minute = limits.group_per_minute
        self._groups: dict[int, Window] = {}
        self._rested_at: dict[int, float] = {}
        self._latencies: deque[float] = deque(maxlen=LATELY)
        self._paused_until = float("-inf")
        self._forget_above = FORGET_ABOVE

    def take_over(self, now: float) -> None:
        """Begin as if the whole rate had been used up to now: who knows what a sender sent that died a moment ago.

        So a broadcast that goes on after a crash goes on evenly, with few calls in flight that another crash could put
        in doubt, instead of in bursts of a second's share.
        """
        if self._second:
            self._second.fill(now)

    def ready_at(self, chat: int, *, is_group: bool) -> float:
        """From when on a send to this chat may start; not later than now means at once."""
        at = max(self.channel_ready_at(), self._rested_at.get(chat, float("-inf")))
        if is_group and (group := self._groups.get(chat)):
            at = max(at, group.ready_at())
        return at

    def channel_ready_at(self) -> float:
        """From when on any send may start, whatever its chat."""
        return max(self._paused_until, self._second.ready_at() if self._second else float("-inf"))

    def room(self, now: float) -> int:
        """How many sends may start by now, whatever their chats."""
        if now < self._paused_until:
            return 0
        return self._second.room(now) if self._second else UNLIMITED

    def started(self, chat: int, *, is_group: bool) -> None:
        """A call begins, or will in a moment."""
        if self._second:
            self._second.begin()
        if is_group and self._per_minute:
            group = self._groups.get(chat)
            if group is None:
                group = self._groups[chat] = Window(self._per_minute, MINUTE)
            group.begin()

    def finished(self, chat: int, *, is_group: bool, began: float, now: float) -> None:
        """The answer of the call that began at `began` is here, whatever it says."""
        charge = min(began + self._delay(began, now) + MARGIN, now)
        if self._second:
            self._second.end(charge, now)
        if is_group and (group := self._groups.get(chat)):
            group.end(charge, now)
        if self._gap:
            self._rested_at[chat] = now + self._gap
        if len(self._rested_at) + len(self._groups) > self._forget_above:
            self._forget(now)

    def _delay(self, began: float, now: float) -> float:
        """How long the way may have taken beyond what it always takes."""
        if self._second is None and not self._per_minute:
            return 0.0
        latency = now - began
        # The first calls open connections, all at the same time: what the way always takes is not known yet.
        known = len(self._latencies) >= WARM_UP
        self._latencies.append(latency)
        return min(latency - min(self._latencies), ALLOWANCE) if known else latency

    def pause(self, until: float) -> None:
        """Nothing starts before `until`."""
        self._paused_until = max(self._paused_until, until)

    def slow(self, share: float) -> None:
        """Go at this share of the allowed rate; 1 is all of it."""
        if self._second:
            self._second.most = max(1, int(self._per_second * share))

    def _forget(self, now: float) -> None:
        for group in self._groups.values():
            group.forget(now)
        self._groups = {chat: group for chat, group in self._groups.items() if not group.is_empty}
        self._rested_at = {chat: at for chat, at in self._rested_at.items() if at > now}
        # Twice what is left: looking through all of them costs no more than a constant a call.
        self._forget_above = max(FORGET_ABOVE, 2 * (len(self._rested_at) + len(self._groups)))
