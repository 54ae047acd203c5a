"""The house's side of the relay: what is handed over becomes somebody's errand, with a kit in the carrier's chats."""

from collections.abc import Callable
from datetime import datetime

from adapters.contract import Outbound
from bot.house import House
from store.store import Store


class HouseHands:
    """Carriers of one channel. `handed` is called when their kits wait to be sent."""

    def __init__(
        self,
        channel_id: int,
        store: Store,
        house: Callable[[], House],
        *,
        clock: Callable[[], datetime],
        handed: Callable[[], None],
    ) -> None:
        self._channel_id = channel_id
        self._store = store
        self._house = house
        self._clock = clock
        self._handed = handed

    async def give(self, message: Outbound) -> None:
        raise NotImplementedError
