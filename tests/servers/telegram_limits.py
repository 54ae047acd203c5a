"""Telegram's limits of rate, enforced to the letter: the real one lets short bursts pass, this one never."""

import math
from collections import defaultdict, deque
from collections.abc import Iterable

PER_SECOND = 30
CHAT_GAP = 1.0
GROUP_PER_MINUTE = 20


class Limiter:
    """Counts accepted sends of one bot. `tolerance` (seconds) forgives what the way through a machine adds or takes."""

    def __init__(self, *, tolerance: float = 0.0) -> None:
        self.tolerance = tolerance
        self._bot: deque[float] = deque()
        self._last: dict[int, float] = {}
        self._groups: dict[int, deque[float]] = defaultdict(deque)

    def admit(self, chat: int, *, is_group: bool, now: float) -> int:
        """0 when the send may pass (it then counts), else the seconds to wait."""
        waits = [
            _wait(self._bot, PER_SECOND, 1.0 - self.tolerance, now),
            CHAT_GAP - self.tolerance - (now - self._last.get(chat, -math.inf)),
        ]
        if is_group:
            waits.append(_wait(self._groups[chat], GROUP_PER_MINUTE, 60.0 - self.tolerance, now))
        if max(waits) > 0:
            return max(1, math.ceil(max(waits)))
        self._bot.append(now)
        self._last[chat] = now
        if is_group:
            self._groups[chat].append(now)
        return 0


def _wait(times: deque[float], most: int, window: float, now: float) -> float:
    """How long until `times` has room for one more within `window`."""
    while times and now - times[0] >= window:
        times.popleft()
    return 0.0 if len(times) < most else window - (now - times[len(times) - most])


def busiest(times: Iterable[float], window: float = 1.0) -> int:
    """The most events that any half-open window holds."""
    inside: deque[float] = deque()
    most = 0
    for at in sorted(times):
        inside.append(at)
        while at - inside[0] >= window:
            inside.popleft()
        most = max(most, len(inside))
    return most
