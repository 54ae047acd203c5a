"""What pages and REST read alike: notices as far as the asker may see them, with their kept figures added up."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, and_, col, exists, or_, select

from bot.errors import NotFound
from bot.permissions import NOT_FOUND, Actor, Duty, notice_for, targets_seen
from store.tables import (
    Chat,
    Household,
    Notice,
    NoticeKind,
    NoticeRevision,
    NoticeState,
    NoticeTarget,
    Reach,
    Standing,
    Unit,
)

RELEASED = (NoticeState.PUBLISHED, NoticeState.RECALLED)


def visible_notice(session: Session, actor: Actor, code: str, duty: Duty = Duty.FIGURES) -> Notice:
    """The notice, if the actor may see it. What is not released is seen only by those who write or approve there."""
    notice = notice_for(session, actor, code, duty)
    if notice.published_at is None:
        issuing = session.get_one(Unit, notice.unit_id)
        if not (actor.may(Duty.BROADCAST, issuing) or actor.may(Duty.APPROVE, issuing)):
            raise NotFound(NOT_FOUND)
    return notice


def villages_of(session: Session, actor: Actor, notice: Notice) -> list[Unit]:
    """The notice's villages that the actor may see: all of them when its issuing unit is the actor's."""
    return targets_seen(session, actor, notice, Duty.FIGURES)


@dataclass(frozen=True, slots=True)
class NoticeLine:
    """A notice in a list, with the figures of the villages that the actor sees."""

    id: int
    code: str
    title: str
    issuer: str
    kind: NoticeKind
    is_urgent: bool
    state: NoticeState
    created_at: datetime
    published_at: datetime | None
    villages: int
    chats: int
    sent: int
    households: int
    acknowledged: int
    unlinked: int


def notice_lines(
    session: Session,
    actor: Actor,
    *,
    states: Sequence[NoticeState] = tuple(NoticeState),
    limit: int = 20,
    before: int | None = None,
) -> list[NoticeLine]:
    """Notices that the actor may see, the newest first, beginning after the notice with the id `before`."""
    own = _below(actor.paths(Duty.FIGURES))
    writes = _below(sorted({*actor.paths(Duty.BROADCAST), *actor.paths(Duty.APPROVE)}))
    if own is None:
        return []
    issued = col(Notice.unit_id).in_(select(Unit.id).where(own))
    aimed = exists().where(col(NoticeTarget.notice_id) == Notice.id, col(Unit.id) == NoticeTarget.unit_id, own)
    seen = and_(col(Notice.published_at).is_not(None), or_(issued, aimed))
    if writes is not None:
        seen = or_(seen, col(Notice.unit_id).in_(select(Unit.id).where(writes)))
    found = select(Notice).where(seen, col(Notice.state).in_(states))
    if before is not None:
        found = found.where(col(Notice.id) < before)
    notices = session.exec(found.order_by(col(Notice.id).desc()).limit(limit)).all()
    ids = [notice.id for notice in notices]
    titles = _titles(session, ids)
    took_note = col(Reach.card) + col(Reach.number) + col(Reach.head) + col(Reach.visit)
    added_up = (
        sa.select(
            col(Reach.notice_id),
            sa.func.count(),
            sa.func.sum(Reach.chats),
            sa.func.sum(Reach.sent),
            sa.func.sum(Reach.households),
            sa.func.sum(took_note),
            sa.func.sum(Reach.unlinked),
        )
        .join(Unit, col(Unit.id) == Reach.unit_id)
        .where(col(Reach.notice_id).in_(ids), own)
        .group_by(col(Reach.notice_id))
    )
    figures = {row[0]: row[1:] for row in session.connection().execute(added_up)}
    return [
        NoticeLine(
            n.id or 0,
            n.code,
            titles.get(n.id or 0, n.code),
            n.issuer_name,
            n.kind,
            n.is_urgent,
            n.state,
            n.created_at,
            n.published_at,
            *(int(figure or 0) for figure in figures.get(n.id or 0, (0,) * 6)),
        )
        for n in notices
    ]


TITLE = 90


def _titles(session: Session, ids: Sequence[int | None]) -> dict[int, str]:
    """The first line of each notice's latest words: notices have no title of their own."""
    latest = (
        select(NoticeRevision.notice_id, NoticeRevision.body)
        .join(Notice, and_(col(Notice.id) == NoticeRevision.notice_id, Notice.revision == NoticeRevision.revision))
        .where(col(Notice.id).in_(ids))
    )
    return {notice_id: title_of(body) for notice_id, body in session.exec(latest)}


def title_of(body: str) -> str:
    """The first line, cut between words when it is long."""
    line = next((line.strip() for line in body.splitlines() if line.strip()), "")
    return line if len(line) <= TITLE else line[:TITLE].rsplit(" ", 1)[0] + " …"


@dataclass(frozen=True, slots=True)
class VillageLine:
    """A village in a list."""

    id: int
    code: str
    name: str
    households: int
    groups: int
    troubled: int
    """Groups to which we cannot write."""


def village_lines(session: Session, villages: Sequence[Unit]) -> list[VillageLine]:
    """Villages with their register and groups counted."""
    ids = [village.id for village in villages]
    bound = (col(Chat.unit_id).in_(ids), col(Chat.audience_id).is_(None))
    lost = col(Chat.standing).in_((Standing.MUTED, Standing.GONE))
    register = _counted(session, Household.unit_id, col(Household.unit_id).in_(ids), col(Household.closed_at).is_(None))
    groups = _counted(session, Chat.unit_id, *bound, Chat.standing != Standing.GONE)
    troubled = _counted(session, Chat.unit_id, *bound, lost)
    return [
        VillageLine(
            village_id,
            v.code,
            v.name,
            register.get(village_id, 0),
            groups.get(village_id, 0),
            troubled.get(village_id, 0),
        )
        for village_id, v in ((v.id or 0, v) for v in villages)
    ]


def _counted(session: Session, unit_id: Any, *where: Any) -> dict[int, int]:
    """How many rows each unit has."""
    counted = sa.select(unit_id, sa.func.count()).where(*where).group_by(unit_id)
    return {row[0]: row[1] for row in session.connection().execute(counted)}


def _below(paths: Sequence[str]) -> sa.ColumnElement[bool] | None:
    """Units in one of these subtrees."""
    conditions = [col(Unit.path).startswith(path, autoescape=True) for path in paths]
    return or_(*conditions) if conditions else None
