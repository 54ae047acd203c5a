"""Calls for help: who is told at once, whether anybody was, and what stands open.

A call is told in private chats, and stands on the pages of who looks after the village: a head who signed in at
/truong alone has no chat.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import and_, or_
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select, update

from adapters.text import plain
from bot import people, shown, texts
from bot.messages import Message, to_payload
from bot.permissions import Actor, Duty, holders, villages_for
from store import outbox
from store.tables import (
    Account,
    Action,
    Answer,
    Household,
    Lane,
    Notice,
    NoticeState,
    Outbox,
    Reach,
    Receipt,
    ReceiptKind,
    State,
    Unit,
    WebSession,
)

OPEN_FOR = timedelta(days=14)
LOST = (State.FAILED, State.EXPIRED, State.CANCELLED)


@dataclass(frozen=True, slots=True)
class HelpCall:
    """A house, or an account without one, whose latest answer is that it needs help."""

    code: str
    title: str
    """How the notice begins."""
    village: str
    village_code: str
    household: int | None
    """Its number; None: an account without a household."""
    at: datetime


def call(
    session: Session, account: Account, notice: Notice, number: int | None, village: Unit, *, now: datetime
) -> bool:
    """Tell the village's head in private, or the commune where no chat reaches the head. False: nobody heard it."""
    words = to_payload(Message(plain(texts.help_wanted(notice.code, village.name, number))))
    chats: list[int] = []
    for duty in (Duty.REGISTER, Duty.APPROVE):
        for person_id in holders(session, village, duty):
            chats += people.private_chats(session, person_id)
        if chats:
            break
    for chat_id in chats:
        # One call an account and notice, however often the answer is changed.
        key = _key(account, notice)
        outbox.post(session.connection(), chat_id=chat_id, key=key, payloads=[words], lane=Lane.REPLY, now=now)
    session.flush()
    heard = is_heard(session, account, notice)
    session.exec(update(Receipt).where(*_answer_of(account, notice)).values(heard_at=now if heard else None))
    return heard


def is_heard(session: Session, account: Account, notice: Notice) -> bool:
    """Whether the account's call reached somebody: a private chat, or the page of a head whose phone is signed in."""
    posts = select(Outbox.state).where(Outbox.key == _key(account, notice), Outbox.action == Action.POST)
    states = session.exec(posts).all()
    if any(state not in LOST for state in states):
        return True
    receipt = session.exec(
        select(Receipt).where(*_answer_of(account, notice)).execution_options(populate_existing=True)
    ).first()
    if receipt is None:
        return False
    if not states and receipt.heard_at is not None:  # messages that are over are dropped after a while
        return True
    village = session.get(Unit, receipt.unit_id)
    signed_in = select(WebSession.id).where(
        col(WebSession.person_id).in_(holders(session, village, Duty.REGISTER) if village else []),
        col(WebSession.is_phone),
        WebSession.expires_at > receipt.at,
    )
    return session.exec(signed_in.limit(1)).first() is not None


def help_calls(session: Session, actor: Actor, *, now: datetime) -> list[HelpCall]:
    """Open calls of the last two weeks where the actor keeps the register or sends notices, newest first.

    One a house, by its latest own answer: a tick that it was told does not end it, another answer of the house does.
    """
    kept = {unit.id for duty in (Duty.REGISTER, Duty.BROADCAST) for unit in villages_for(session, actor, duty)}
    later = aliased(Receipt)
    same_time = and_(col(later.at) == Receipt.at, col(later.id) > col(Receipt.id))
    answered_since = select(later.id).where(
        later.notice_id == Receipt.notice_id,
        later.household_id == Receipt.household_id,
        later.kind == ReceiptKind.ACKNOWLEDGED,
        col(later.who).not_like("h:%"),
        or_(col(later.at) > Receipt.at, same_time),
    )
    found = session.exec(
        select(Receipt, Notice, Unit, Household.number)
        .join(Reach, and_(col(Reach.notice_id) == Receipt.notice_id, col(Reach.unit_id) == Receipt.unit_id))
        .join(Notice, col(Notice.id) == Receipt.notice_id)
        .join(Unit, col(Unit.id) == Receipt.unit_id)
        .outerjoin(Household, col(Household.id) == Receipt.household_id)
        .where(
            col(Reach.unit_id).in_(kept),
            Reach.help > 0,
            Notice.state == NoticeState.PUBLISHED,
            Receipt.kind == ReceiptKind.ACKNOWLEDGED,
            Receipt.answer == Answer.HELP,
            col(Receipt.account_id).is_not(None),  # whoever erased their data calls no more
            Receipt.at > now - OPEN_FOR,
            ~answered_since.exists(),
        )
        .order_by(col(Receipt.at).desc(), col(Receipt.id).desc())
    ).all()
    titles = {notice.id: shown.title_of(session, notice) for _, notice, _, _ in found}
    return [
        HelpCall(notice.code, titles[notice.id], unit.name, unit.code, number, receipt.at)
        for receipt, notice, unit, number in found
    ]


def _answer_of(account: Account, notice: Notice):  # type: ignore[no-untyped-def]
    return (
        Receipt.notice_id == notice.id,
        Receipt.kind == ReceiptKind.ACKNOWLEDGED,
        Receipt.who == f"a:{account.id}",
    )


def _key(account: Account, notice: Notice) -> str:
    return f"help:{notice.id}:{account.id}"
