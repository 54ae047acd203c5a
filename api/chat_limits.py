"""How often one browser, and one address, may write: a flood from one must not reach the others."""

import math
from dataclasses import dataclass, field

MOST_KEPT = 20_000


@dataclass(slots=True)
class Buckets:
    """A budget per key that refills by itself. In memory: a restart forgives."""

    burst: float
    per_second: float
    _left: dict[str, tuple[float, float]] = field(default_factory=dict)

    def wait(self, key: str, cost: float, *, at: float) -> int:
        """Whole seconds until `cost` can be spent; 0: now."""
        return math.ceil(max(cost - self._of(key, at), 0) / self.per_second)

    def take(self, key: str, cost: float, *, at: float) -> int:
        """Spend `cost`; 0 when there was enough, else the whole seconds to wait, and nothing is spent."""
        if wait := self.wait(key, cost, at=at):
            return wait
        if len(self._left) >= MOST_KEPT:
            self._forget_the_full(at)
        self._left[key] = (self._of(key, at) - cost, at)
        return 0

    def _of(self, key: str, at: float) -> float:
        left, since = self._left.get(key, (self.burst, at))
        return min(self.burst, left + (at - since) * self.per_second)

    def _forget_the_full(self, at: float) -> None:
        """Who has a full budget again is as good as unknown; under attack the oldest half goes too."""
        kept = {k: v for k, v in self._left.items() if v[0] + (at - v[1]) * self.per_second < self.burst}
        self._left = dict(list(kept.items())[-MOST_KEPT // 2 :])


@dataclass(slots=True)
class Limits:
    """Both budgets of a request. Mobile networks hide thousands of phones behind one address, so its budget is wide."""

    browsers: Buckets = field(default_factory=lambda: Buckets(burst=30, per_second=0.5))
    addresses: Buckets = field(default_factory=lambda: Buckets(burst=600, per_second=20))

    def wait(self, browser: str | None, address: str, cost: float, *, at: float) -> int:
        """Seconds until this may be done; 0: now, and it is paid for.

        The address is asked first, so that it cannot make up ever new browsers; it pays last, so that one browser that
        sends too fast costs its neighbours nothing.
        """
        return (
            self.addresses.wait(address, cost, at=at)
            or (self.browsers.take(browser, cost, at=at) if browser is not None else 0)
            or self.addresses.take(address, cost, at=at)
        )
