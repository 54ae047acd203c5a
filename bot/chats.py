"""Chats and accounts as we know them: found by keyed fingerprints, made when they first speak."""

from datetime import datetime

from sqlmodel import Session, select

from adapters.contract import ChatRef
from bot.house import House, Messenger
from store.crypto import Vault
from store.tables import Account, Chat, ChatKind, Standing


def address_key(vault: Vault, channel_id: int, address: str) -> str:
    """By which a chat is found; its platform id lies sealed beside."""
    return vault.fingerprint("chat", str(channel_id), address)


def user_key(vault: Vault, channel_id: int, user: str) -> str:
    """By which an account is found; a group member's platform id is not kept at all."""
    return vault.fingerprint("user", str(channel_id), user)


def find(session: Session, house: House, messenger: Messenger, ref: ChatRef) -> Chat | None:
    key = address_key(house.vault, messenger.channel_id, ref.id)
    return session.exec(select(Chat).where(Chat.channel_id == messenger.channel_id, Chat.address_key == key)).first()


def known(
    session: Session, house: House, messenger: Messenger, ref: ChatRef, *, now: datetime, speaks: bool = True
) -> Chat:
    """The chat, made when it is new. That somebody there `speaks` to us proves that we stand in it."""
    chat = find(session, house, messenger, ref)
    if chat is None:
        chat = Chat(
            channel_id=messenger.channel_id,
            address_key=address_key(house.vault, messenger.channel_id, ref.id),
            sealed_address=house.vault.seal(ref.id),
            kind=ChatKind(ref.kind.value),
            title=ref.title if ref.kind.value == ChatKind.GROUP else "",
            created_at=now,
        )
        session.add(chat)
        session.flush()
    elif ref.title and ref.title != chat.title and chat.kind is ChatKind.GROUP:
        chat.title = ref.title
    if speaks and chat.standing is Standing.GONE:
        chat.standing, chat.standing_reason = Standing.MEMBER, ""
    return chat


def find_account(session: Session, house: House, messenger: Messenger, user: str) -> Account | None:
    key = user_key(house.vault, messenger.channel_id, user)
    return session.exec(
        select(Account).where(Account.channel_id == messenger.channel_id, Account.user_key == key)
    ).first()


def account(session: Session, house: House, messenger: Messenger, user: str, *, now: datetime) -> Account:
    """The account of whoever speaks or presses, made when it is new."""
    found = find_account(session, house, messenger, user)
    if found is None:
        key = user_key(house.vault, messenger.channel_id, user)
        found = Account(channel_id=messenger.channel_id, user_key=key, created_at=now)
        session.add(found)
        session.flush()
    return found
