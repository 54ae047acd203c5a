"""One event being handled: who spoke where, and what we say to it. Everything said goes through the outbox."""

from dataclasses import dataclass, field
from datetime import datetime

from sqlmodel import Session

from adapters.contract import Button, Buttons
from adapters.text import Text, cut, plain
from bot import people
from bot.errors import NotFound
from bot.house import House, Messenger
from bot.messages import Message, to_payload
from bot.permissions import Actor, actor_of
from store import outbox
from store.tables import Account, Chat, Lane


@dataclass(frozen=True, slots=True)
class PressAnswer:
    """What the presser alone is told, at once, after the commit."""

    press_id: str
    text: str
    alert: bool = False


@dataclass(slots=True)
class Turn:
    session: Session
    house: House
    messenger: Messenger
    chat: Chat
    account: Account
    event_id: str
    now: datetime
    press_id: str = ""
    answers: list[PressAnswer] = field(default_factory=list)
    said: int = 0

    def say(self, words: str | Text, buttons: Buttons = (), *, chat: Chat | int | None = None) -> str:
        """Queue a reply to this chat (or another); returns its key. Long words are cut, buttons go below the last."""
        text = plain(words) if isinstance(words, str) else words
        pieces = [Message(piece) for piece in cut(text, limit=self.messenger.limits.text)]
        pieces[-1] = Message(pieces[-1].text, buttons)
        return self.show(pieces, chat=chat)

    def show(self, messages: list[Message], *, chat: Chat | int | None = None) -> str:
        """Queue messages as they are, in order; returns their key."""
        self.said += 1
        where = chat if isinstance(chat, int) else (chat or self.chat).id
        assert where is not None
        key = f"event:{self.messenger.channel_id}:{self.event_id}:{self.said}"
        payloads = [to_payload(message) for message in messages]
        outbox.post(self.session.connection(), chat_id=where, key=key, payloads=payloads, lane=Lane.REPLY, now=self.now)
        return key

    def rewrite(self, row_id: int | None, words: str | Text, buttons: Buttons = ()) -> None:
        """Change the message whose button was pressed."""
        if row_id is not None:
            text = plain(words) if isinstance(words, str) else words
            payload = to_payload(Message(text, buttons))
            outbox.put_edit(self.session.connection(), row_id, payload, now=self.now, lane=Lane.REPLY)

    def answer(self, words: str, *, alert: bool = False) -> None:
        """Tell the presser alone, in at most 200 characters."""
        if self.press_id:
            self.answers.append(PressAnswer(self.press_id, words[:200], alert))

    def actor(self) -> Actor | None:
        """The person behind the account, None for a resident."""
        if self.account.person_id is None:
            return None
        try:
            return actor_of(self.session, self.account.person_id)
        except NotFound:
            return None

    def tell(self, person_id: int, words: str) -> bool:
        """Say something to a person in private; False when no chat of theirs is known."""
        chats = people.private_chats(self.session, person_id)
        for chat_id in chats:
            self.say(words, chat=chat_id)
        return bool(chats)


def rows_of(buttons: list[Button], width: int) -> Buttons:
    """Buttons in rows of `width`."""
    return tuple(tuple(buttons[i : i + width]) for i in range(0, len(buttons), width))
