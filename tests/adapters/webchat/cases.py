"""What the contract's tests cannot know of this messenger."""

from typing import Any

from adapters.contract import Adapter, Opening
from adapters.webchat import Settings, build

IS_REMOTE = False
"""It speaks with a server of somebody else."""
UNKNOWN = (
    b'{"kind": "wave", "id": "1"}',
    b'{"kind": "message"}',
    b'{"kind": "press", "chat": {}}',
)
"""Bodies of shapes that mean nothing to us, beside those that any messenger may get."""


def an_adapter(address: str) -> Adapter:
    rooms: Any = None
    return build(Settings(), Opening(channel="main", public_url=address, rooms=rooms, hands=rooms))
