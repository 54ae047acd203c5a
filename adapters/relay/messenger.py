"""The relay as the house sees it: a messenger whose wire is a person."""

from collections.abc import Sequence

from adapters.contract import BadSignature, Can, Event, Hands, Inbound, Limits, Outbound, RawEvent, Sent


class Relay:
    """Hands messages to the carrier of a group. Nothing ever comes in here: that group is not ours to read."""

    name = "relay"
    can = Can.FILES | Can.HANDS_OVER | Can.SAFE_TO_REPEAT
    limits = Limits(text=900, caption=900)
    """Characters that one forwarded message holds and people still read."""

    def __init__(self, hands: Hands) -> None:
        self._hands = hands

    def verify(self, request: Inbound) -> None:
        raise BadSignature("the relay has no webhook")

    def identify(self, request: Inbound) -> Sequence[RawEvent]:
        return []

    def parse(self, body: bytes) -> Sequence[Event]:
        return []

    async def send(self, message: Outbound) -> Sent:
        """The same as `hand_over`: there is no other way into the group."""
        await self.hand_over(message)
        return Sent(message.key)

    async def hand_over(self, message: Outbound) -> None:
        await self._hands.give(message)

    async def aclose(self) -> None:
        """Nothing is open."""
