"""What the contract's tests cannot know of this messenger."""

from typing import Any

from adapters.contract import Adapter, Opening
from adapters.telegram.client import TelegramAdapter
from adapters.telegram.request import AiohttpRequest
from adapters.telegram.settings import Settings
from tests.servers.telegram import TOKEN

IS_REMOTE = True
"""It speaks with a server of somebody else."""
UNKNOWN = (
    b'{"update_id": 7}',
    b'{"update_id": 7, "a_kind_of_next_year": {"chat": {"id": 1}}}',
    b'{"update_id": 7, "message": null}',
    b'{"update_id": 7, "message": []}',
    b'{"update_id": 7, "message": {"message_id": 1}}',
    b'{"update_id": 7, "callback_query": {"id": "1"}}',
    b'{"update_id": {"a": 1}, "my_chat_member": 5}',
)
"""Bodies of shapes that mean nothing to us, beside those that any messenger may get."""


def an_adapter(address: str) -> Adapter:
    """One that has its server at `address` (http://host:port) and little patience."""
    values: dict[str, Any] = {"bot_token": TOKEN, "webhook_secret": "made-up", "api_base_url": f"{address}/bot"}
    rooms: Any = None
    request = AiohttpRequest(secret=TOKEN, connect_timeout=0.3, read_timeout=0.3, write_timeout=0.3)
    opening = Opening(channel="main", public_url="", rooms=rooms, hands=rooms)
    return TelegramAdapter(Settings(**values), opening, request)
