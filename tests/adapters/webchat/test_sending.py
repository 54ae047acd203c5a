"""What the house sends through the web chat, into rooms of a real store."""

import asyncio
from typing import Any

import pytest

from adapters.contract import ChatGone, ChatKind, ChatRef, FileKind, FileRef, Outbound, OutFile, Rejected
from adapters.text import plain
from bot.messages import of_payload
from store import rooms
from tests.api.webchat_house import ACK, group_of, opened

ROOM, NOWHERE = ChatRef("g:ban-a", ChatKind.GROUP), ChatRef("g:ban-z", ChatKind.GROUP)


@pytest.fixture
async def house(tmp_path):
    async with opened(tmp_path) as house:
        yield house


@pytest.fixture
def adapter(house) -> Any:
    return house.runtime.channels["webchat", "main"].adapter


async def shown(house):
    chat_id = (await group_of(house)).id
    return [
        of_payload(message.payload) for message in await house.store.read(rooms.history, house.vault, chat_id, None)
    ]


async def test_the_same_key_shows_one_message_however_often_it_is_sent(house, adapter):
    message = Outbound(chat=ROOM, key="n:1", text=plain("Họp bản"), buttons=ACK)
    sent = await asyncio.gather(*(adapter.send(message) for _ in range(5)))
    assert len({each.message_id for each in sent}) == 1
    (only,) = await shown(house)
    assert (only.text, only.buttons) == (plain("Họp bản"), ACK)


async def test_a_file_is_kept_with_the_message_and_through_an_edit(house, adapter):
    file = OutFile(kind=FileKind.PHOTO, name="qr.png", media_type="image/png", content=b"\x89PNG")
    sent = await adapter.send(Outbound(chat=ROOM, key="n:1", text=plain("Họp"), file=file))
    await adapter.edit(sent.message_id, Outbound(chat=ROOM, key="n:1:2", text=plain("Họp, 3 hộ")))
    (only,) = await shown(house)
    assert only.text == plain("Họp, 3 hộ")
    assert only.file is not None
    assert only.file.name == "qr.png"
    ref = FileRef(str(only.file.file_id), FileKind.PHOTO)
    assert await adapter.fetch(ref, limit=4) == b"\x89PNG"
    with pytest.raises(Rejected):
        await adapter.fetch(ref, limit=3)


async def test_what_is_not_there_is_told_apart(adapter):
    message = Outbound(chat=ROOM, key="n:1", text=plain("Họp"))
    with pytest.raises(ChatGone):
        await adapter.send(Outbound(chat=NOWHERE, key="n:1", text=plain("Họp")))
    with pytest.raises(Rejected):
        await adapter.edit("999", message)
    with pytest.raises(Rejected):
        await adapter.fetch(FileRef("999", FileKind.PHOTO), limit=10)
    await adapter.delete(ROOM, "999")


async def test_a_deleted_message_is_gone_and_deleting_it_again_is_no_failure(house, adapter):
    sent = await adapter.send(Outbound(chat=ROOM, key="n:1", text=plain("Họp")))
    for _ in range(2):
        await adapter.delete(ROOM, sent.message_id)
    assert await shown(house) == []
    assert await adapter.count_members(ROOM) == 0
