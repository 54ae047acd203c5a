"""What a browser does in a room of the web chat: each one transaction, the message and its event together (T1)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from sqlmodel import Session

from adapters.contract import ChatKind, Inbound
from adapters.text import plain
from api import chat_files
from bot.messages import FileUse, Message, of_payload, to_payload
from scheduler.runtime import OpenChannel
from store import events, files, rooms
from store.crypto import Vault
from store.rooms import Shown
from store.tables import Standing, Unit


@dataclass(frozen=True, slots=True)
class Place:
    """A room as one browser stands before it."""

    code: str
    kind: ChatKind
    name: str
    """Of the village."""
    unit_id: int | None
    group_id: int
    group_room: str
    chat_id: int | None
    """None: a private room that nobody wrote in yet."""
    account_id: int | None
    """None: this browser only looked so far."""
    private_id: int | None
    is_member: bool
    members: int
    unread: int
    """Of the private room."""

    @property
    def base(self) -> str:
        group = f"/chat/{quote(self.code, safe='')}"
        return group if self.kind is ChatKind.GROUP else f"{group}/private"


@dataclass(frozen=True, slots=True)
class Words:
    """What a resident wrote."""

    client_id: str
    text: str
    reply_to: int | None
    file: chat_files.Sent | None


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who stands before which room."""

    vault: Vault
    channel: OpenChannel
    place: Place
    sender_id: str


def say(session: Session, visitor: Visitor, said: Words, *, now: datetime) -> tuple[Shown, bool]:
    """Show the words in the room and, when they are meant for us, keep the event. True: there is an event."""
    account_id, chat_id = enter(session, visitor, now=now)
    use, told_files = None, []
    if said.file:
        file_id = files.keep(session, said.file.content, said.file.media_type, now=now)
        use = FileUse(file_id, said.file.kind, said.file.name, said.file.media_type)
        size = len(said.file.content)
        told_files = [
            {"ref": str(file_id), "kind": use.kind.value, "name": use.name, "type": use.media_type, "size": size}
        ]
    vault = visitor.vault
    target = rooms.message(session, vault, chat_id, said.reply_to, account_id) if said.reply_to is not None else None
    key = f"u:{account_id}:{said.client_id}"
    message_id = rooms.post(
        session,
        vault,
        chat_id,
        key=key,
        payload=to_payload(Message(plain(said.text), file=use)),
        now=now,
        account_id=account_id,
        file_id=use.file_id if use else None,
        reply_to=str(target.id) if target else None,
    )
    told = {
        "kind": "message",
        "id": key,
        "message": str(message_id),
        "text": said.text,
        "reply_to": str(target.id) if target else None,
        "reply_to_us": target is not None and target.account_id is None,
        "files": told_files,
    }
    heard = accept(session, visitor, told, now=now)
    shown = rooms.by_key(session, vault, chat_id, key)
    assert shown is not None
    return shown, heard


def pressed(session: Session, visitor: Visitor, message_id: int, token: str, client_id: str, *, now: datetime) -> bool:
    """Keep the press. False: there is no such button on a message that this browser sees."""
    place = visitor.place
    if place.chat_id is None:
        return False
    shown = rooms.message(session, visitor.vault, place.chat_id, message_id, place.account_id)
    if shown is None or shown.account_id is not None:
        return False
    if token not in {button.token for row in of_payload(shown.payload).buttons for button in row}:
        return False
    account_id, chat_id = enter(session, visitor, now=now)
    told = {
        "kind": "press",
        "id": f"b:{account_id}:{message_id}:{client_id}:{token}",
        "message": str(message_id),
        "token": token,
        "press": rooms.press_id(chat_id, message_id, account_id, client_id),
    }
    return accept(session, visitor, told, now=now)


def looked(session: Session, visitor: Visitor, up_to: int, *, now: datetime) -> bool:
    """Keep how far a member saw, with an event for what we posted to the group. True: there is an event."""
    place = visitor.place
    if place.chat_id is None or place.account_id is None:
        return False
    posts = rooms.mark_read(session, place.chat_id, place.account_id, up_to)
    if not posts or place.kind is ChatKind.PRIVATE:
        return False
    told = {
        "kind": "read",
        "id": f"r:{place.chat_id}:{place.account_id}:{posts[-1]}",
        "messages": [str(post) for post in posts],
    }
    return accept(session, visitor, told, now=now)


def enter(session: Session, visitor: Visitor, *, now: datetime) -> tuple[int, int]:
    """The account of this browser and the room's chat, both made when missing; in a group it becomes a member."""
    place = visitor.place
    account = rooms.ensure_account(
        session, visitor.vault, visitor.channel.id, visitor.sender_id, now=now, unit_id=place.unit_id
    )
    assert account.id is not None and account.private_chat_id is not None  # noqa: PT018 - just flushed
    if place.kind is ChatKind.PRIVATE:
        return account.id, account.private_chat_id
    rooms.join(session, place.group_id, account.id, now=now)
    return account.id, place.group_id


def go(session: Session, visitor: Visitor) -> None:
    """Leave the group."""
    if visitor.place.account_id is not None:
        rooms.leave(session, visitor.place.group_id, visitor.place.account_id)


def accept(session: Session, visitor: Visitor, told: Mapping[str, object], *, now: datetime) -> bool:
    """Keep what the adapter calls an event of this, the same event once. False: it is talk among residents."""
    place, channel, vault = visitor.place, visitor.channel, visitor.vault
    is_group = place.kind is ChatKind.GROUP
    room = place.group_room if is_group else rooms.private_address(visitor.sender_id)
    common = {"room": room, "title": place.name if is_group else "", "from": visitor.sender_id, "at": now.isoformat()}
    body = json.dumps({**told, **common}, ensure_ascii=False).encode()
    raw_events = channel.adapter.identify(Inbound({}, body))
    connection = session.connection()
    for raw in raw_events:
        chat_key = vault.fingerprint("chat", str(channel.id), raw.chat) if raw.chat else ""
        row = events.row(channel.id, raw.event_id, chat_key, vault.seal(raw.body), now=now)
        connection.execute(events.accept(connection.dialect.name), [row])
    return bool(raw_events)


def look(session: Session, vault: Vault, channel_id: int, code: str, kind: ChatKind, sender_id: str) -> Place | None:
    """The room as this browser stands before it; None when there is none, or when it was closed."""
    address = rooms.address_of(vault, code)
    group = rooms.find(session, vault, channel_id, address) if address else None
    if address is None or group is None or group.id is None or group.standing is Standing.GONE:
        return None
    unit = session.get(Unit, group.unit_id) if group.unit_id is not None else None
    account = rooms.account_of(session, vault, channel_id, sender_id)
    account_id = account.id if account else None
    private_id = account.private_chat_id if account else None
    return Place(
        code=code,
        kind=kind,
        name=group.title or (unit.name if unit else ""),
        unit_id=group.unit_id,
        group_id=group.id,
        group_room=address,
        chat_id=group.id if kind is ChatKind.GROUP else private_id,
        account_id=account_id,
        private_id=private_id,
        is_member=account_id is not None
        and (kind is ChatKind.PRIVATE or rooms.is_member(session, group.id, account_id)),
        members=rooms.count_members(session, group.id),
        unread=unread(session, private_id, account_id),
    )


def unread(session: Session, private_id: int | None, account_id: int | None) -> int:
    return rooms.unread(session, private_id, account_id) if private_id is not None and account_id is not None else 0


def file_of(
    session: Session, vault: Vault, chat_id: int, message_id: int, viewer: int | None
) -> tuple[FileUse, bytes] | None:
    shown = rooms.message(session, vault, chat_id, message_id, viewer)
    use = of_payload(shown.payload).file if shown else None
    kept = files.load(session, use.file_id) if use else None
    return (use, kept.content) if use and kept else None
