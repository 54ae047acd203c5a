"""What a person is given to carry into a group: words that are complete without a link, a picture, and what to do."""

import secrets
from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Session, select

from adapters.text import Span, Text, bold, cut, joined, plain, width
from bot import face as faces
from bot import shown, texts
from bot.face import Face
from bot.house import House
from bot.messages import Message, to_payload
from pictures import NoticeWords
from store import outbox
from store.tables import Chat, Lane, Notice, NoticeTarget

KIT = 900
"""UTF-16 units of one text: what a forwarded message holds and people still read."""
PLACE = 8
"""Room for "(12/34) " before a piece."""
LETTERS = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
"""Base58: no two that look alike."""
TOKEN = 12
"""Letters of a link's token, about 70 bits."""
PREVIEWED = "·" * TOKEN
"""Stands for a token that is not made yet: as long as one, and nobody can open it."""


# ---------------------------------------------------------------- pure


def texts_of(face: Face, link: str) -> tuple[str, ...]:
    """The notice as the group should see it, each text at most KIT long; several say which they are, "(1/3) ".

    Complete without `link`, which is '' when residents cannot reach us.
    """
    due = f"\n\nHạn: {texts.moment(face.due)}" if face.due else ""
    words = f"{faces.headline(face)}\n\n{face.body}{due}"
    end = _end(face, link)
    if width(words) + width(end) <= KIT:
        return (words + end,)
    room = KIT - PLACE
    pieces = [joined(piece) for piece in cut(plain(words), limit=room, last=max(room - width(end), 1))]
    pieces[-1] += end
    if len(pieces) == 1:
        return tuple(pieces)
    return tuple(f"({number}/{len(pieces)}) {piece}" for number, piece in enumerate(pieces, start=1))


def _end(face: Face, link: str) -> str:
    """Who says it and when, and in the very last line how it is checked and answered."""
    asks = texts.KIT_ASKS.get(face.wanted, "") if link else ""
    lines = [f"— {face.issuer}, {texts.day(face.at)}", *([asks] if asks else [])]
    lines.append(f"{link} · Mã {face.code}" if link else f"Mã {face.code}")
    return "\n\n" + "\n".join(lines)


def words_of(face: Face, link: str) -> NoticeWords:
    """The notice as its picture shows it."""
    parts = [texts.headline(face.issuer_kind, face.issuer)]
    if face.kind in texts.KIND_HEADLINES:
        parts.append(texts.KIND_HEADLINES[face.kind])
    return NoticeWords(
        headline=" · ".join(parts),
        issuer=face.issuer,
        body=face.body,
        day=texts.day(face.at),
        code=face.code,
        url=link,
        due=texts.moment(face.due) if face.due else "",
        mark=face.mark,
        is_urgent=face.is_urgent,
    )


def instruction(group: str, messages: int, *, is_correction: bool, is_recall: bool) -> Text:
    """What the carrier does with the `messages` above."""
    what = texts.carry_what(messages, correction=is_correction, recall=is_recall)
    take_away = texts.CARRY_THEN_TAKE_AWAY if is_correction or is_recall else ""
    return (
        Span(f"Chuyển {what} vào nhóm "),
        bold(group),
        Span(f"{take_away}, xong trả lời "),
        bold("1"),
        Span("."),
    )


def new_token() -> str:
    """Of a village's link, as good as impossible to guess."""
    return "".join(secrets.choice(LETTERS) for _ in range(TOKEN))


def link_of(house: House, token: str) -> str:
    """Of a village's page of a notice; '' when residents cannot reach us."""
    return f"{house.public_url}/t/{token}" if house.public_url and token else ""


# ---------------------------------------------------------------- queueing


def queue(session: Session, house: House, notice: Notice, chats: Sequence[Chat], *, lane: Lane, now: datetime) -> None:
    """Give each village of these groups its link, and queue one row a group for whoever carries it.

    A village that has its link keeps it, so that what was carried before leads to what is said now; a revoked one is
    known as such for ever, and what is carried after it has none.
    """
    if not chats:
        return
    session.flush()
    face = shown.face_of(session, house, notice, now=now)
    tokens = {unit_id: _token_of(session, notice, unit_id) for unit_id in {chat.unit_id for chat in chats}}
    payloads = {}
    for chat in chats:
        words = "\n\n".join(texts_of(face, link_of(house, tokens[chat.unit_id])))
        payloads[chat.id or 0] = to_payload(Message(plain(words)))
    session.flush()
    outbox.fan_out_by_hand(session.connection(), notice, payloads, lane=lane, now=now)


def _token_of(session: Session, notice: Notice, unit_id: int | None) -> str:
    """The village's token, a new one where there is none; '' where it was revoked, which it stays for this notice."""
    target = session.exec(
        select(NoticeTarget).where(NoticeTarget.notice_id == notice.id, NoticeTarget.unit_id == unit_id)
    ).one()
    if target.link_token is None:
        target.link_token = new_token()
        session.add(target)
    return target.link_token if target.link_revoked_at is None else ""
