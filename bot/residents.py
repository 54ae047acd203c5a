"""Residents before a village's own link of a notice: what they answer there, whose house they are, who opened it.

A resident is a browser with a cookie of ours. It has the same account here and in the web chat, so that a household
that was named in one of them holds in the other.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col, select

from bot import acks, errands, face, households, texts
from bot.chats import find_account, user_key
from bot.errors import Conflict, Invalid, NotFound
from bot.house import House, Messenger
from bot.permissions import Duty, actor_of
from store import reach
from store.tables import (
    Account,
    Action,
    Answer,
    Channel,
    Grade,
    Household,
    Notice,
    NoticeState,
    NoticeTarget,
    Outbox,
    Receipt,
    ReceiptKind,
    Unit,
    WebSession,
)

RELEASED = (NoticeState.PUBLISHED, NoticeState.RECALLED)
HOMES = ("webchat", "relay")
"""Whose account a browser has: the web chat's where there is one, so that both know the same resident."""
NUMBER = re.compile(r"[0-9]{1,5}")


@dataclass(frozen=True, slots=True)
class Link:
    """What a token in /t/{token} stands for."""

    notice_id: int
    code: str
    unit_id: int
    is_revoked: bool


@dataclass(frozen=True, slots=True)
class Mine:
    """What a browser has answered, and for whom it speaks."""

    can_answer: bool
    """False: no account can be kept for it, because neither the web chat nor the relay is open."""
    answer: Answer | None
    answered_at: datetime | None
    is_heard: bool
    """False: it called for help, and nobody could be told."""
    household: int | None
    """Number of the household for which it counts."""
    has_card: bool
    is_asked: bool
    """It must still say which household it is, or that it does not remember."""


NOBODY = Mine(True, None, None, True, None, False, False)


def link_of(session: Session, token: str) -> Link | None:
    """None for a token that nobody gave out, and for a notice that is not out."""
    found = session.exec(
        select(NoticeTarget.notice_id, Notice.code, NoticeTarget.unit_id, NoticeTarget.link_revoked_at)
        .join(Notice, col(Notice.id) == NoticeTarget.notice_id)
        .where(NoticeTarget.link_token == token, col(Notice.state).in_(RELEASED))
    ).first()
    return Link(found[0], found[1], found[2], found[3] is not None) if found else None


def home(house: House) -> Messenger | None:
    """The channel whose accounts browsers have; None while none of them is open."""
    ours = {messenger.adapter: messenger for messenger in house.messengers.values() if messenger.name == "main"}
    return next((ours[adapter] for adapter in HOMES if adapter in ours), None)


def account_of(session: Session, house: House, sender_id: str) -> Account | None:
    """The browser's account; None while it only looked."""
    messenger = home(house)
    return find_account(session, house, messenger, sender_id) if messenger else None


def look(session: Session, house: House, link: Link, sender_id: str) -> Mine:
    """What the page has to show to this browser."""
    if home(house) is None:
        return Mine(False, None, None, True, None, False, False)
    account = account_of(session, house, sender_id)
    if account is None:
        return NOBODY
    receipt = session.exec(
        select(Receipt).where(
            Receipt.notice_id == link.notice_id,
            Receipt.kind == ReceiptKind.ACKNOWLEDGED,
            Receipt.who == f"a:{account.id}",
        )
    ).first()
    answer = receipt.answer if receipt else None
    notice = session.get_one(Notice, link.notice_id)
    return Mine(
        can_answer=True,
        answer=answer,
        answered_at=receipt.at if receipt else None,
        is_heard=answer is not Answer.HELP or acks.is_heard(session, account, notice),
        household=_household(session, account, link),
        has_card=account.household_id is not None and account.grade is Grade.CARD,
        is_asked=receipt is not None
        and account.household_id is None
        and account.asked_at is None
        and households.register_size(session, [link.unit_id]) > 0,
    )


def answer(
    session: Session,
    house: House,
    token: str,
    sender_id: str,
    word: str,
    *,
    session_keys: Sequence[str],
    now: datetime,
) -> None:
    """Count an answer given on the page. Raises Conflict for a notice that is stopped, Invalid for no answer of it."""
    link, notice = _open(session, token)
    if notice.state is not NoticeState.PUBLISHED:
        raise Conflict(texts.PRESS_OLD)
    if word not in face.ANSWERS[notice.wanted]:
        raise Invalid(texts.PRESS_STALE)
    account = _account(session, house, sender_id, now=now)
    chat_id = _group_of(session, link)
    acks.count(session, account, notice, Answer(word), unit_id=link.unit_id, chat_id=chat_id, now=now)
    # Whoever answers has opened it, also with pictures switched off.
    opened(session, house, token, sender_id, session_keys=session_keys, now=now)


def name_household(session: Session, house: House, token: str, sender_id: str, typed: str, *, now: datetime) -> None:
    """The browser says which household of the link's village it is. Raises Invalid, NotFound or Conflict in words."""
    link, _ = _open(session, token)
    numbers = re.findall(r"\d+", typed)
    if len(numbers) != 1 or not NUMBER.fullmatch(numbers[0]):
        raise Invalid(texts.NUMBER_UNREAD, "number")
    account = _account(session, house, sender_id, now=now)
    village = session.get_one(Unit, link.unit_id)
    households.join_number(session, account, village, int(numbers[0]), now=now)


def forgot_household(session: Session, house: House, token: str, sender_id: str, *, now: datetime) -> None:
    """The browser stays an account without a household, and is not asked again."""
    _open(session, token)
    account = _account(session, house, sender_id, now=now)
    account.asked_at = now
    session.add(account)


def join_by_card(session: Session, house: House, card: str, sender_id: str, *, now: datetime) -> Household:
    """The browser belongs to the card's household. Raises NotFound for a forged or an old card."""
    household = households.household_of_card(session, house, card)
    households.join(session, _account(session, house, sender_id, now=now), household, Grade.CARD, now=now)
    return household


def latest_link(session: Session, house: House, sender_id: str) -> str:
    """Token of the newest notice that this browser answered and that has a link; '' when there is none."""
    account = account_of(session, house, sender_id)
    if account is None:
        return ""
    found = session.exec(
        select(NoticeTarget.link_token)
        .join(
            Receipt, (col(Receipt.notice_id) == NoticeTarget.notice_id) & (col(Receipt.unit_id) == NoticeTarget.unit_id)
        )
        .join(Notice, col(Notice.id) == NoticeTarget.notice_id)
        .where(
            Receipt.account_id == account.id,
            Receipt.kind == ReceiptKind.ACKNOWLEDGED,
            col(NoticeTarget.link_token).is_not(None),
            col(NoticeTarget.link_revoked_at).is_(None),
            col(Notice.state).in_(RELEASED),
        )
        .order_by(col(Notice.published_at).desc())
        .limit(1)
    ).first()
    return found or ""


# ---------------------------------------------------------------- who opened it


def is_known(session: Session, house: House, link: Link, sender_id: str) -> bool:
    """This browser opened the link before."""
    known = select(Receipt.id).where(
        Receipt.notice_id == link.notice_id,
        Receipt.kind == ReceiptKind.OPENED,
        Receipt.who == _browser(house, link, sender_id),
    )
    return session.exec(known).first() is not None


def opened(
    session: Session, house: House, token: str, sender_id: str, *, session_keys: Sequence[str], now: datetime
) -> bool:
    """Count that a resident's browser opened the link: once each, and never that of somebody who hands it out.

    `session_keys`: fingerprints of sign-ins that this browser holds, ended ones too.
    """
    link = link_of(session, token)
    if link is None or link.is_revoked or _hands_it_out(session, house, link, sender_id, session_keys):
        return False
    connection = session.connection()
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    added = connection.execute(
        insert(Receipt.__table__)  # type: ignore[attr-defined]
        .values(
            notice_id=link.notice_id,
            kind=ReceiptKind.OPENED,
            who=_browser(house, link, sender_id),
            unit_id=link.unit_id,
            first_at=now,
            at=now,
        )
        .on_conflict_do_nothing()
    )
    if not added.rowcount:
        return False
    errands.opened(session, link.notice_id, link.unit_id, now=now)
    reach.recount(connection, [(link.notice_id, link.unit_id)])
    return True


def _browser(house: House, link: Link, sender_id: str) -> str:
    """Names the browser for this link alone: what else it opened cannot be told from it."""
    return f"d:{house.vault.fingerprint('open', sender_id, str(link.notice_id), str(link.unit_id))}"


def _hands_it_out(session: Session, house: House, link: Link, sender_id: str, session_keys: Sequence[str]) -> bool:
    """This browser is of somebody who has the link from us, not from the group: opening it proves nothing."""
    persons = set(session.exec(select(WebSession.person_id).where(col(WebSession.token_key).in_(list(session_keys)))))
    account = account_of(session, house, sender_id)
    if account is not None and account.person_id is not None:
        persons.add(account.person_id)
    village = session.get_one(Unit, link.unit_id)
    return any(
        errands.carries(session, person_id, link.unit_id) or _may_see_kits(session, person_id, village)
        for person_id in persons
    )


def _may_see_kits(session: Session, person_id: int, village: Unit) -> bool:
    try:
        return actor_of(session, person_id).may(Duty.BROADCAST, village)
    except NotFound:
        return False


# ---------------------------------------------------------------- inside


def _open(session: Session, token: str) -> tuple[Link, Notice]:
    link = link_of(session, token)
    if link is None:
        raise NotFound(texts.LINK_WRONG)
    if link.is_revoked:
        raise Conflict(texts.LINK_REVOKED)
    return link, session.get_one(Notice, link.notice_id)


def _account(session: Session, house: House, sender_id: str, *, now: datetime) -> Account:
    """The browser's account, made when it is new: two requests of one browser may come at the same time."""
    messenger = home(house)
    if messenger is None:
        raise Conflict(texts.PRESS_STALE)
    account = find_account(session, house, messenger, sender_id)
    if account is None:
        connection = session.connection()
        insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        key = user_key(house.vault, messenger.channel_id, sender_id)
        row = insert(Account.__table__).values(channel_id=messenger.channel_id, user_key=key, created_at=now)  # type: ignore[attr-defined]
        connection.execute(row.on_conflict_do_nothing())
        account = find_account(session, house, messenger, sender_id)
        assert account is not None
    return account


def _household(session: Session, account: Account, link: Link) -> int | None:
    """Number of the account's household, where it lies in one of the notice's villages."""
    household = session.get(Household, account.household_id) if account.household_id is not None else None
    if household is None or session.get(NoticeTarget, (link.notice_id, household.unit_id)) is None:
        return None
    return household.number


def _group_of(session: Session, link: Link) -> int | None:
    """The group into which the link is carried: so that the answer is known to come from there, whatever moves."""
    group = (
        select(Outbox.chat_id)
        .join(Channel, col(Channel.id) == Outbox.channel_id)
        .where(*_posts(link), col(Channel.hands_over))
        .order_by(col(Outbox.id))
        .limit(1)
    )
    return session.exec(group).first()


def _posts(link: Link) -> tuple[ColumnElement[bool], ...]:
    return (
        col(Outbox.notice_id) == link.notice_id,
        col(Outbox.unit_id) == link.unit_id,
        col(Outbox.action) == Action.POST,
    )
