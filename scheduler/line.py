"""How a channel slows as a whole when its messenger fails or throttles, and recovers by itself. Pure: time comes in."""

from datetime import timedelta

PROBE_MOST = 30.0
"""Longest wait between two tries of a line that is down."""
LOST_IN_A_ROW = 3
"""Sends of unknown outcome without one good one between them, after which the line counts as down."""
TOGETHER = 30.0
"""A second chat throttled within this many seconds means the whole channel."""
SLOWEST = 1 / 8
RECOVERS = 30.0
"""Seconds without being throttled after which the rate doubles again."""


class Line:
    """Whether the messenger can be reached. While it cannot, one send at a time tries it, ever more rarely."""

    def __init__(self) -> None:
        self._failures = 0
        self._lost = 0
        self._down_at = float("-inf")
        self._probe_at = float("-inf")
        self.last_good = float("-inf")

    @property
    def is_down(self) -> bool:
        return self._failures > 0

    @property
    def probe_at(self) -> float:
        return self._probe_at

    def good(self, now: float) -> None:
        self._failures = self._lost = 0
        self.last_good = now

    def not_reached(self, started: float, now: float, *, chance: float) -> None:
        """A send that was started at `started` did not leave. Those that fell together count once. `chance`: 0 to 1."""
        if started <= self._down_at and self.is_down:
            return
        self._failures += 1
        self._down_at = now
        self._probe_at = now + min(2.0 ** (self._failures - 1), PROBE_MOST) * (0.75 + 0.5 * chance)

    def lost(self, started: float, now: float, *, chance: float) -> None:
        """Nobody knows what became of a send. Many in a row would leave a whole broadcast in doubt."""
        self._lost += 1
        if self._lost >= LOST_IN_A_ROW or self.is_down:
            self.not_reached(started, now, chance=chance)


class Pace:
    """What share of the allowed rate we use: halved when several chats are throttled, doubled in quiet times."""

    def __init__(self) -> None:
        self.share = 1.0
        self._last: tuple[int, float] | None = None
        self._slowed_at = float("-inf")
        self._in_a_row = 0

    def throttled(self, chat: int, now: float) -> bool:
        """True when the whole channel must wait, not the chat alone."""
        before, self._last = self._last, (chat, now)
        together = before is not None and before[0] != chat and now - before[1] <= TOGETHER
        if not together:
            return False
        if now - self._slowed_at > 1.0:  # what was in flight at the same moment is one reproach
            self.share = max(SLOWEST, self.share / 2)
            self._in_a_row += 1
        self._slowed_at = now
        return True

    def wait(self, told: timedelta | None, *, chance: float) -> timedelta:
        """How long to wait: what was told, else ever longer, and a little more, so that not all come back at once."""
        seconds = min(2.0**self._in_a_row, PROBE_MOST) if told is None else told.total_seconds()
        return timedelta(seconds=seconds + 0.1 + 0.5 * chance)

    def recover(self, now: float) -> None:
        if self.share < 1 and now - self._slowed_at > RECOVERS:
            self.share = min(1.0, self.share * 2)
            self._slowed_at = now
            self._in_a_row = 0
