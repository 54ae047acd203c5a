"""A notice in somebody's hand: who has it, who gets it next, and when it counts as carried.

An errand belongs to an outbox row of a channel that hands over. The row's state alone says whether it is open (HANDED)
or done (SENT); the errand says with whom it is. Whether somebody may act is asked at that moment, so that an office
that was given up carries nothing any more.
"""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session, and_, col, delete, func, or_, select

from adapters import contract
from adapters.contract import Button, Buttons, Can, NobodyCarries
from adapters.text import Span, Text, plain
from bot import kits, people, phones, relays, shown, texts
from bot.errors import Conflict, NotFound
from bot.hours import awake, quiet
from bot.house import House
from bot.later import later
from bot.messages import FileUse, Message, to_payload
from bot.permissions import NOT_FOUND, Actor, Duty, actor_of, holders, villages_for
from pictures import NoticeWords
from store import audit, files, outbox, reach, sessions
from store.outbox import Step
from store.tables import (
    Action,
    Channel,
    Chat,
    Errand,
    Holder,
    Lane,
    Notice,
    NoticeState,
    NoticeTarget,
    Outbox,
    Person,
    Proof,
    Receipt,
    ReceiptKind,
    RelayGroup,
    State,
    Task,
    Unit,
    UnitKind,
)

WORD = "k"
"""First word of an instruction's button tokens: `k:{outbox id in hex}:{done|undo}`."""
URGENT_PATIENCE = timedelta(minutes=15)
PATIENCE = timedelta(hours=4)
"""How long one holder is waited for: then a reminder, then the next holder."""
BUNDLE = timedelta(minutes=1)
"""Villages that come on the commune's list within this are told in one message."""
LOOK_AGAIN = timedelta(minutes=1)
"""While a row that was handed over before a crash is on its way to be handed over again."""
UNDO = timedelta(minutes=30)
LATELY = timedelta(hours=48)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kit:
    """What a person has to carry, as /truong shows it."""

    outbox_id: int
    code: str
    village: str
    village_code: str
    group: str
    texts: tuple[str, ...]
    instruction: str
    """For a page: the messages stand below it."""
    picture_id: int | None
    voices: tuple[FileUse, ...]
    documents: tuple[FileUse, ...]
    """Photos too."""
    is_urgent: bool
    is_correction: bool
    """The group may hold older words, which must be taken away."""
    is_recall: bool
    handed_at: datetime
    holder: Holder
    link_path: str
    """ "/t/{token}", '' without a link."""
    state: State


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a person carried lately."""

    outbox_id: int
    code: str
    village: str
    group: str
    done_at: datetime
    proof: Proof
    may_take_back: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """What nobody of the village has carried: somebody of the commune calls."""

    outbox_id: int
    code: str
    title: str
    """How the notice begins."""
    village: str
    village_code: str
    group: str
    carrier: str
    """'' when nobody is named."""
    backup: str
    phone: str
    """Of the carrier, else of the backup; '' when none is known."""
    since: datetime
    is_urgent: bool


@dataclass(frozen=True, slots=True)
class _Case:
    """An errand with all that belongs to it."""

    errand: Errand
    row: Outbox
    notice: Notice
    village: Unit
    chat: Chat
    group: RelayGroup


# ---------------------------------------------------------------- handing over


def sheet(session: Session, house: House, row: Outbox, *, now: datetime) -> NoticeWords | None:
    """What the picture for this row shows; None when none is wanted any more: it was handed over, or is replaced."""
    if session.get(Errand, row.id) is not None or _is_over(row, now) or row.notice_id is None:
        return None
    notice = session.get_one(Notice, row.notice_id)
    return kits.words_of(shown.face_of(session, house, notice, now=now), _link(session, house, row))


def hand(session: Session, house: House, row: Outbox, picture: bytes | None, *, now: datetime) -> None:
    """Give what the row says to whoever carries it. The same row again changes nothing.

    Whom nothing reaches is passed over; where that leaves nobody, it is the commune's at once. Raises NobodyCarries
    when nobody is named at all.
    """
    # Locked, both: of this and a stop, or a change of the group's people, at the same moment, one sees the other.
    session.refresh(row, with_for_update=True)
    if row.notice_id is None or row.unit_id is None or _is_over(row, now) or session.get(Errand, row.id) is not None:
        return
    group = session.get(RelayGroup, row.chat_id, with_for_update=True, populate_existing=True)
    if group is None or (group.carrier_id is None and group.backup_id is None):
        raise NobodyCarries("no carrier")
    errand = Errand(
        outbox_id=row.id or 0,
        notice_id=row.notice_id,
        unit_id=row.unit_id,
        chat_id=row.chat_id,
        picture_id=files.keep(session, picture, "image/png", now=now) if picture else None,
        handed_at=now,
        given_at=now,
    )
    session.add(errand)
    session.flush()
    for older in session.exec(
        select(Errand).where(
            Errand.notice_id == row.notice_id, Errand.chat_id == row.chat_id, Errand.outbox_id != row.id
        )
    ):
        withdraw(session, house, older.outbox_id, now=now)
    case = _case(session, errand)
    for holder, person_id in ((Holder.CARRIER, group.carrier_id), (Holder.BACKUP, group.backup_id)):
        if relays.reachable(session, person_id, case.village, now=now):
            _give_to(session, house, case, holder, person_id, now=now)
            return
    _to_commune(session, house, case, now=now)


def _is_over(row: Outbox, now: datetime) -> bool:
    """It is replaced, stopped, or too late: whatever its state, nobody is to carry it."""
    return row.is_old or (row.expires_at is not None and row.expires_at <= now)


def _give_to(
    session: Session, house: House, case: _Case, holder: Holder, person_id: int | None, *, now: datetime
) -> None:
    """The errand is this person's: the kit goes out, and a look at it later is asked for."""
    errand = case.errand
    is_first, errand.reached_at = errand.reached_at is None, errand.reached_at or now
    errand.holder, errand.person_id, errand.given_at = holder, person_id, now
    session.add(errand)
    session.flush()
    theirs = people.private_chats(session, person_id) if person_id is not None else []
    asked_before = {row.chat_id for row in _messages(session, errand.outbox_id, TOLD_IN) if row.chat_id in theirs}
    _send(session, house, case, now=now)
    _ask_again(session, house, case, asked_before, now=now)
    _wait(session, house, case, now=now)
    if is_first:
        reach.recount(session.connection(), [(errand.notice_id, errand.unit_id)])


def _pass_to(
    session: Session, house: House, case: _Case, holder: Holder, person_id: int | None, *, now: datetime
) -> None:
    """The same, and whoever was asked before reads who is asked now."""
    words = texts.carry_passed(case.notice.code, case.chat.title, _name(session, person_id))
    outbox_id = case.errand.outbox_id
    _rewrite(session, house, outbox_id, words, _button(outbox_id), now=now, but_to=(person_id,))
    _give_to(session, house, case, holder, person_id, now=now)


def _release(session: Session, house: House, case: _Case, *, now: datetime) -> None:
    """Whoever was asked and is named for the group no more reads that it is somebody else's."""
    errand = case.errand
    words = texts.carry_released(case.notice.code, case.chat.title, _name(session, errand.person_id))
    named = (errand.person_id, case.group.carrier_id, case.group.backup_id)
    _rewrite(session, house, errand.outbox_id, words, now=now, but_to=named)


def _to_commune(session: Session, house: House, case: _Case, *, now: datetime) -> None:
    """On the commune's list; its officials hear of it with what else comes on it."""
    errand, notice = case.errand, case.notice
    errand.holder, errand.person_id, errand.given_at, errand.reminders = Holder.COMMUNE, None, now, 0
    session.add(errand)
    session.flush()
    audit.note(
        session, at=now, person_id=None, unit_id=errand.unit_id, action="errand left to the commune",
        subject=notice.code, detail=f"chat:{errand.chat_id}",
    )  # fmt: skip
    due = awake(now + BUNDLE, house.zone, is_urgent=notice.is_urgent)
    later(session, "errands", str(notice.id), due, notice=notice.id)


def _wait(session: Session, house: House, case: _Case, *, now: datetime) -> None:
    """Look at the errand again when its holder has had the time that it takes."""
    patience = URGENT_PATIENCE if case.notice.is_urgent else PATIENCE
    due = awake(now + patience, house.zone, is_urgent=case.notice.is_urgent)
    _forget_task(session, case.errand.outbox_id)
    later(session, "errand", str(case.errand.outbox_id), due, outbox=case.errand.outbox_id)


def _forget_task(session: Session, outbox_id: int) -> None:
    session.exec(delete(Task).where(col(Task.key) == f"errand:{outbox_id}"))


# ---------------------------------------------------------------- the kit in a private chat


def _send(session: Session, house: House, case: _Case, *, now: datetime) -> None:
    """The kit into all private chats of whoever has it; a chat that has it already gets nothing twice.

    Words come first, each a message as the group should see it, then pictures and recordings, and apart from these what
    to do. Each file is a message of its own: one that a messenger refuses must not hold back the rest.
    """
    if case.errand.person_id is None:
        return
    words = kits.texts_of(shown.face_of(session, house, case.notice, now=now), _link(session, house, case.row))
    uses = shown.uses_of(session, case.notice)
    for chat_id in people.private_chats(session, case.errand.person_id):
        sending = _Sending(session, house, case, chat_id, now)
        sending.post("text", [Message(plain(text)) for text in words])
        count = len(words)
        if Can.FILES in _can(house, session.get_one(Chat, chat_id).channel_id):
            wanted = _files(case, uses)
            for number, use in enumerate(wanted):
                words_beside = f"{case.notice.code} · {use.caption}" if use.caption else case.notice.code
                sending.post(f"file{number}", [Message(plain(words_beside), file=use)])
            count += len(wanted)
        sending.post("do", [_instruction(session, case, count, to_holder=True)])


@dataclass(frozen=True, slots=True)
class _Sending:
    session: Session
    house: House
    case: _Case
    chat_id: int
    now: datetime

    def post(self, what: str, messages: Sequence[Message]) -> None:
        is_urgent = self.case.notice.is_urgent
        outbox.post(
            self.session.connection(),
            chat_id=self.chat_id,
            key=_key(self.case.errand.outbox_id, what),
            payloads=[to_payload(message) for message in messages],
            lane=Lane.URGENT if is_urgent else Lane.REPLY,
            now=self.now,
            is_silent=not is_urgent and quiet(self.house.local(self.now)),
        )


def _files(case: _Case, uses: Sequence[FileUse]) -> list[FileUse]:
    """What is carried beside the words, in the order in which it is sent."""
    picture_id, name = case.errand.picture_id, f"{case.notice.code}.png"
    beside = [*_voices(uses), *_documents(uses)]
    return beside if picture_id is None else [FileUse(picture_id, contract.FileKind.PHOTO, name, "image/png"), *beside]


def _voices(uses: Iterable[FileUse]) -> tuple[FileUse, ...]:
    return tuple(use for use in uses if use.kind is contract.FileKind.VOICE)


def _documents(uses: Iterable[FileUse]) -> tuple[FileUse, ...]:
    return tuple(use for use in uses if use.kind is not contract.FileKind.VOICE)


FILES = 11
"""Most files of a kit: a notice's ten and its picture."""
TOLD_IN = ("do", "remind")
"""Messages below which it can be told that the errand is done."""
MESSAGES = ("text", *(f"file{number}" for number in range(FILES)), *TOLD_IN)


def _key(outbox_id: int, what: str) -> str:
    """Of a message of an errand's kit; one a chat."""
    return f"kit:{outbox_id}:{what}"


def errand_of(key: str) -> int | None:
    """The errand to whose kit the message with this key belongs."""
    word, _, rest = key.partition(":")
    number = rest.partition(":")[0]
    return int(number) if word == "kit" and number.isdigit() else None


def _instruction(session: Session, case: _Case, messages: int, *, to_holder: bool) -> Message:
    """What to do with the `messages` above. A backup who has it is told whom to help."""
    words = kits.instruction(
        case.chat.title,
        messages,
        is_correction=_replaces(session, case),
        is_recall=case.notice.state is NoticeState.RECALLED,
    )
    if to_holder and case.errand.holder is Holder.BACKUP:
        words = (Span(texts.carry_for(_name(session, case.group.carrier_id))), *words)
    return Message(words, _button(case.errand.outbox_id))


def _button(outbox_id: int, *, undo: bool = False) -> Buttons:
    label, word = (texts.NOT_CARRIED, "undo") if undo else (texts.CARRIED, "done")
    return ((Button(label, f"{WORD}:{outbox_id:x}:{word}"),),)


def _rewrite(
    session: Session, house: House, outbox_id: int, words: str | Text, buttons: Buttons = (), *, now: datetime,
    but_to: Iterable[int | None] = (),
) -> None:  # fmt: skip
    """Everybody who was told to carry it reads this instead, but for the persons `but_to`."""
    spared = [chat_id for id_ in but_to if id_ is not None for chat_id in people.private_chats(session, id_)]
    payload = to_payload(Message(plain(words) if isinstance(words, str) else words, buttons))
    for row in _messages(session, outbox_id, TOLD_IN):
        if row.chat_id not in spared and Can.EDIT in _can(house, row.channel_id):
            outbox.put_edit(session.connection(), row.id or 0, payload, now=now, lane=Lane.REPLY)


def _messages(session: Session, outbox_id: int, which: Iterable[str]) -> Sequence[Outbox]:
    keys = [_key(outbox_id, what) for what in which]
    return session.exec(
        select(Outbox).where(col(Outbox.key).in_(keys), Outbox.action == Action.POST).order_by(col(Outbox.id))
    ).all()


def _can(house: House, channel_id: int) -> Can:
    messenger = house.messengers.get(channel_id)
    return messenger.can if messenger else Can.NOTHING


# ---------------------------------------------------------------- looking


def waiting(session: Session, house: House, person_id: int) -> list[Kit]:
    """What this person may carry now: urgent first, then the newest.

    A carrier's stays until it is carried, with whomever it is by then; a backup's begins when the carrier was waited
    for.
    """
    found = _cases(session, *_waits_for(person_id))
    villages = {case.village.id: case.village for case in found}
    serves = {id_ for id_, village in villages.items() if relays.may_carry(session, person_id, village)}
    cases = [case for case in found if case.village.id in serves]
    cases.sort(key=lambda case: (not case.notice.is_urgent, -case.errand.given_at.timestamp(), -case.errand.outbox_id))
    return [_kit(session, house, case) for case in cases]


def _waits_for(person_id: int) -> tuple[Any, ...]:
    """Conditions on an errand, its row and its group."""
    is_passed = col(Errand.holder).in_((Holder.BACKUP, Holder.COMMUNE))
    return (
        Outbox.state == State.HANDED,
        col(Outbox.is_old).is_(False),
        or_(
            col(Errand.person_id) == person_id,
            col(RelayGroup.carrier_id) == person_id,
            and_(col(RelayGroup.backup_id) == person_id, is_passed),
        ),
    )


def lately_done(session: Session, house: House, person_id: int, *, now: datetime) -> list[Done]:
    """What this person had to carry and is done, the latest first."""
    mine = or_(col(Errand.person_id) == person_id, col(Errand.done_by_id) == person_id)
    cases = _cases(session, mine, col(Errand.done_at) > now - LATELY, Outbox.state == State.SENT)
    cases.sort(key=lambda case: case.errand.done_at or now, reverse=True)
    return [
        Done(
            outbox_id=case.errand.outbox_id,
            code=case.notice.code,
            village=case.village.name,
            group=case.chat.title,
            done_at=case.errand.done_at or now,
            proof=case.errand.proof or Proof.TOLD,
            may_take_back=_why_not_back(session, case, now=now) is None,
        )
        for case in cases
    ]


def kit_for(session: Session, house: House, actor: Actor, outbox_id: int) -> Kit:
    """One kit, for its holder, carrier or backup, or an official of the village. Raises NotFound for others."""
    return _kit(session, house, _case_for(session, actor, outbox_id))


def carries(session: Session, person_id: int, unit_id: int) -> bool:
    """Whether the person is carrier or backup of a group of that village."""
    theirs = or_(RelayGroup.carrier_id == person_id, RelayGroup.backup_id == person_id)
    found = select(Chat.id).join(RelayGroup, col(RelayGroup.chat_id) == Chat.id).where(Chat.unit_id == unit_id, theirs)
    return session.exec(found.limit(1)).first() is not None


def overdue(session: Session, house: House, actor: Actor, *, now: datetime) -> list[Overdue]:
    """What is on the commune's list, in the actor's villages; urgent first, then the oldest."""
    mine = [village.id for village in villages_for(session, actor, Duty.BROADCAST)]
    cases = _cases(
        session,
        col(Errand.unit_id).in_(mine),
        Errand.holder == Holder.COMMUNE,
        Outbox.state == State.HANDED,
        col(Outbox.is_old).is_(False),
    )
    cases.sort(key=lambda case: (not case.notice.is_urgent, case.errand.given_at, case.errand.outbox_id))
    found = []
    for case in cases:
        carrier, backup = (_person(session, id_) for id_ in (case.group.carrier_id, case.group.backup_id))
        found.append(
            Overdue(
                outbox_id=case.errand.outbox_id,
                code=case.notice.code,
                title=shown.title_of(session, case.notice),
                village=case.village.name,
                village_code=case.village.code,
                group=case.chat.title,
                carrier=carrier.name if carrier else "",
                backup=backup.name if backup else "",
                phone=phones.of(house, carrier) or phones.of(house, backup),
                since=case.errand.given_at,
                is_urgent=case.notice.is_urgent,
            )
        )
    return found


def _kit(session: Session, house: House, case: _Case) -> Kit:
    errand, notice = case.errand, case.notice
    token = _token(session, case.row)
    face = shown.face_of(session, house, notice, now=errand.handed_at)
    uses = shown.uses_of(session, notice)
    is_correction, is_recall = _replaces(session, case), notice.state is NoticeState.RECALLED
    return Kit(
        outbox_id=errand.outbox_id,
        code=notice.code,
        village=case.village.name,
        village_code=case.village.code,
        group=case.chat.title,
        texts=kits.texts_of(face, kits.link_of(house, token)),
        instruction=texts.carry_page(case.chat.title, correction=is_correction, recall=is_recall),
        picture_id=errand.picture_id,
        voices=_voices(uses),
        documents=_documents(uses),
        is_urgent=notice.is_urgent,
        is_correction=is_correction,
        is_recall=is_recall,
        handed_at=errand.handed_at,
        holder=errand.holder,
        link_path=f"/t/{token}" if token else "",
        state=case.row.state,
    )


def _replaces(session: Session, case: _Case) -> bool:
    """Whether somebody was given older words for this group: perhaps they are in it, whatever we were told."""
    older = select(Errand.outbox_id).where(
        Errand.notice_id == case.errand.notice_id,
        Errand.chat_id == case.errand.chat_id,
        col(Errand.outbox_id) < case.errand.outbox_id,
    )
    return session.exec(older.limit(1)).first() is not None


def _link(session: Session, house: House, row: Outbox) -> str:
    return kits.link_of(house, _token(session, row))


def _token(session: Session, row: Outbox) -> str:
    """Of the village's link of this notice; '' when there is none, or it was revoked."""
    target = session.get(NoticeTarget, (row.notice_id, row.unit_id))
    return (target.link_token or "") if target is not None and target.link_revoked_at is None else ""


def _person(session: Session, person_id: int | None) -> Person | None:
    return session.get(Person, person_id) if person_id is not None else None


def _name(session: Session, person_id: int | None) -> str:
    person = _person(session, person_id)
    return person.name if person else ""


def _case(session: Session, errand: Errand) -> _Case:
    return _Case(
        errand,
        session.get_one(Outbox, errand.outbox_id, populate_existing=True),  # its state is written past the session
        session.get_one(Notice, errand.notice_id),
        session.get_one(Unit, errand.unit_id),
        session.get_one(Chat, errand.chat_id),
        session.get(RelayGroup, errand.chat_id) or RelayGroup(chat_id=errand.chat_id),
    )


def _cases(session: Session, *where: Any) -> list[_Case]:
    found = (
        select(Errand)
        .join(Outbox, col(Outbox.id) == Errand.outbox_id)
        .outerjoin(RelayGroup, col(RelayGroup.chat_id) == Errand.chat_id)
        .where(*where)
    )
    return [_case(session, errand) for errand in session.exec(found).all()]


def _case_for(session: Session, actor: Actor, outbox_id: int) -> _Case:
    """The errand, when the actor may do something about it. Raises NotFound.

    Its holder, carrier and backup only while they still hold a duty in the village.
    """
    errand = session.get(Errand, outbox_id)
    if errand is None:
        raise NotFound(NOT_FOUND)
    case = _case(session, errand)
    if actor.may(Duty.BROADCAST, case.village):
        return case
    named = (errand.person_id, case.group.carrier_id, case.group.backup_id)
    if actor.person_id in named and relays.may_carry(session, actor.person_id, case.village):
        return case
    raise NotFound(NOT_FOUND)


# ---------------------------------------------------------------- done


def done(session: Session, house: House, actor: Actor, outbox_id: int, *, at: datetime, now: datetime) -> bool:
    """The actor says that it was carried, `at` that time. False: that was known.

    Raises NotFound for what is not the actor's, Conflict when the notice has been stopped, replaced, or is over.
    """
    case = _case_for(session, actor, outbox_id)
    errand, row = case.errand, case.row
    if row.is_old:
        raise Conflict(texts.CARRY_REPLACED)
    session.flush()
    told = {"sent_at": row.sent_at or now}
    if not outbox.advance(session.connection(), outbox_id, Step.ACCEPTED, **told):
        session.refresh(row)
        if row.state is State.SENT:
            return False
        raise Conflict(texts.CARRY_OVER)
    session.refresh(row)
    errand.done_at = min(max(at, errand.handed_at), now)
    errand.proof, errand.done_by_id = Proof.TOLD, actor.person_id
    session.add(errand)
    session.flush()
    _forget_task(session, outbox_id)
    _audit(session, actor, case, "errand done", now=now)
    _show_done(session, house, case, now=now)
    return True


def take_back(session: Session, house: House, actor: Actor, outbox_id: int, *, now: datetime) -> None:
    """It was not carried after all. Raises NotFound, or Conflict when that can no longer be."""
    case = _case_for(session, actor, outbox_id)
    if (why := _why_not_back(session, case, now=now)) is not None:
        raise Conflict(why)
    session.flush()
    if not outbox.advance(session.connection(), outbox_id, Step.RETRACT):
        raise Conflict(texts.CARRY_NOT_TOLD)
    session.refresh(case.row)
    errand = case.errand
    errand.done_at = errand.proof = errand.done_by_id = None
    session.add(errand)
    session.flush()
    _audit(session, actor, case, "errand taken back", now=now)
    named = (errand.person_id, case.group.carrier_id, case.group.backup_id)
    theirs = {chat_id for id_ in named if id_ is not None for chat_id in people.private_chats(session, id_)}
    _ask_again(session, house, case, theirs, now=now)
    if errand.holder is not Holder.COMMUNE:
        _wait(session, house, case, now=now)


def _ask_again(session: Session, house: House, case: _Case, chat_ids: Container[int], *, now: datetime) -> None:
    """Instructions and reminders in these chats say again what they said."""
    outbox_id, notice = case.errand.outbox_id, case.notice
    words = kits.texts_of(shown.face_of(session, house, notice, now=now), _link(session, house, case.row))
    files_beside = len(_files(case, shown.uses_of(session, notice)))
    theirs = people.private_chats(session, case.errand.person_id) if case.errand.person_id is not None else []
    for row in _messages(session, outbox_id, TOLD_IN):
        can = _can(house, row.channel_id)
        if row.chat_id not in chat_ids or Can.EDIT not in can:
            continue
        if row.key == _key(outbox_id, "do"):
            count = len(words) + (files_beside if Can.FILES in can else 0)
            message = _instruction(session, case, count, to_holder=row.chat_id in theirs)
        else:
            message = _reminder(house, case)
        outbox.put_edit(session.connection(), row.id or 0, to_payload(message), now=now, lane=Lane.REPLY)


def _reminder(house: House, case: _Case) -> Message:
    # A part of the kit may have been lost on the way: the page has all of it.
    page = f"{house.public_url}/truong" if house.public_url else ""
    words = texts.carry_remind(case.notice.code, case.village.name, case.chat.title, page)
    return Message(plain(words), _button(case.errand.outbox_id))


def _why_not_back(session: Session, case: _Case, *, now: datetime) -> str | None:
    """Why what was told can not be taken back; None when it can."""
    errand = case.errand
    if case.row.is_old:
        return texts.CARRY_REPLACED
    if errand.proof is Proof.OPENED:
        return texts.CARRY_SEEN
    if case.row.state is not State.SENT or errand.done_at is None:
        return texts.CARRY_NOT_TOLD
    if now - errand.done_at > UNDO:
        return texts.CARRY_LATE
    seen = select(Receipt.id).where(
        Receipt.notice_id == errand.notice_id,
        Receipt.unit_id == errand.unit_id,
        Receipt.kind == ReceiptKind.OPENED,
        Receipt.at >= errand.done_at,
    )
    return texts.CARRY_SEEN if session.exec(seen.limit(1)).first() is not None else None


def opened(session: Session, notice_id: int, unit_id: int, *, now: datetime) -> None:
    """Somebody else opened the village's link, which was counted: it was carried into the group, where that is sure.

    It is not when the link was given for another group too, or with former words for this one: perhaps it stands
    there, whatever we were told. Nor when the browser may be that of somebody who has the link from us.
    """
    session.flush()
    cases = _cases(session, Errand.notice_id == notice_id, Errand.unit_id == unit_id)
    if len(cases) != 1 or cases[0].row.state is not State.HANDED or cases[0].row.is_old:
        return
    (case,) = cases
    errand = case.errand
    if not _are_known(session, case, now=now) and _opens(session, errand) < 2:
        return
    if not outbox.advance(session.connection(), errand.outbox_id, Step.ACCEPTED):
        return
    errand.done_at, errand.proof, errand.done_by_id = now, Proof.OPENED, None
    session.add(errand)
    session.flush()
    _forget_task(session, errand.outbox_id)
    later(session, "carry", str(errand.outbox_id), now, outbox=errand.outbox_id)


def _are_known(session: Session, case: _Case, *, now: datetime) -> bool:
    """Whether we would recognise the browsers of those who have the link from us, by a sign-in."""
    was_passed = case.errand.holder is not Holder.CARRIER
    asked = {case.group.carrier_id, case.errand.person_id, case.group.backup_id if was_passed else None} - {None}
    return all(sessions.is_signed_in(session, person_id or 0, now=now) for person_id in asked)


def _opens(session: Session, errand: Errand) -> int:
    """Browsers that opened the link and were counted."""
    counted = select(func.count()).where(
        Receipt.notice_id == errand.notice_id, Receipt.unit_id == errand.unit_id, Receipt.kind == ReceiptKind.OPENED
    )
    return session.exec(counted).one()


def _show_done(session: Session, house: House, case: _Case, *, now: datetime) -> None:
    """Everybody who was told to carry it reads that it is done."""
    errand, code, village, group = case.errand, case.notice.code, case.village.name, case.chat.title
    if errand.done_at is None:
        return
    at = house.local(errand.done_at)
    if errand.proof is Proof.OPENED:
        _rewrite(session, house, errand.outbox_id, texts.carry_opened(code, village, group, at), now=now)
        return
    undo = _button(errand.outbox_id, undo=True)
    teller = errand.done_by_id
    theirs = people.private_chats(session, teller) if teller is not None else []
    for row in _messages(session, errand.outbox_id, TOLD_IN):
        if Can.EDIT in _can(house, row.channel_id):
            by = "" if row.chat_id in theirs else _name(session, teller)
            words = texts.carry_noted(code, village, group, at, by=by)
            payload = to_payload(Message(plain(words), undo if row.chat_id in theirs else ()))
            outbox.put_edit(session.connection(), row.id or 0, payload, now=now, lane=Lane.REPLY)


def withdraw(session: Session, house: House, outbox_id: int, *, now: datetime) -> None:
    """It is not to be carried any more: what has not reached its holder is stopped, the rest says so."""
    errand = session.get(Errand, outbox_id)
    if errand is None or errand.done_at is not None:
        return
    _forget_task(session, outbox_id)
    connection = session.connection()
    for row in _messages(session, outbox_id, MESSAGES):
        outbox.advance(connection, row.id or 0, Step.GIVE_BACK)
        outbox.advance(connection, row.id or 0, Step.CANCEL)
    case = _case(session, errand)
    _rewrite(session, house, outbox_id, texts.carry_stopped(case.notice.code, case.chat.title), now=now)


def stop(session: Session, house: House, notice: Notice, *, now: datetime) -> None:
    """The notice is carried no further: to be called after its rows were cancelled."""
    session.flush()
    over = _cases(session, Errand.notice_id == notice.id, Outbox.state == State.CANCELLED)
    for case in over:
        withdraw(session, house, case.errand.outbox_id, now=now)
    just_now = (
        select(Outbox.id)
        .join(Channel, col(Channel.id) == Outbox.channel_id)
        .where(
            Outbox.notice_id == notice.id,
            Outbox.state == State.SENDING,
            col(Outbox.expires_at) <= now,
            col(Channel.hands_over),
        )
    )
    for row_id in session.exec(just_now).all():
        later(session, "carry", str(row_id), now + LOOK_AGAIN, outbox=row_id)


def _audit(session: Session, actor: Actor, case: _Case, action: str, *, now: datetime) -> None:
    audit.note(
        session,
        at=now,
        person_id=actor.person_id,
        unit_id=case.errand.unit_id,
        action=action,
        subject=case.notice.code,
        detail=f"chat:{case.errand.chat_id}",
    )


# ---------------------------------------------------------------- later


def remind(session: Session, house: House, payload: dict[str, Any], now: datetime) -> None:
    """Task "errand": its holder has had the time that it takes. Once a reminder, then it goes to the next."""
    case = _open_case(session, payload["outbox"], now=now)
    if case is None or case.errand.holder is Holder.COMMUNE:
        return
    errand, notice = case.errand, case.notice
    morning = awake(now, house.zone, is_urgent=notice.is_urgent)
    if morning > now:
        later(session, "errand", str(errand.outbox_id), morning, outbox=errand.outbox_id)
        return
    holds = relays.reachable(session, errand.person_id, case.village, now=now)
    chats = people.private_chats(session, errand.person_id or 0)
    # One reminder, until others are named: a backup who got it after the carrier's has been waited for long enough.
    # Whom only a phone reaches cannot be reminded, so that time is not spent on it.
    if holds and chats and not errand.reminders:
        errand.reminders = 1
        session.add(errand)
        session.flush()
        _send(session, house, case, now=now)  # also to a chat that was linked meanwhile
        for chat_id in chats:
            _Sending(session, house, case, chat_id, now).post("remind", [_reminder(house, case)])
        _wait(session, house, case, now=now)
        return
    _next_holder(session, house, case, now=now)


def _next_holder(session: Session, house: House, case: _Case, *, now: datetime) -> None:
    """From the carrier to the backup, and from there to the commune. Whom nothing reaches is passed over."""
    errand, backup_id = case.errand, case.group.backup_id
    if (
        errand.holder is Holder.CARRIER
        and backup_id not in (errand.person_id, case.group.carrier_id)
        and relays.reachable(session, backup_id, case.village, now=now)
    ):
        audit.note(
            session, at=now, person_id=None, unit_id=errand.unit_id, action="errand given to the backup",
            subject=case.notice.code, detail=f"chat:{errand.chat_id}",
        )  # fmt: skip
        _pass_to(session, house, case, Holder.BACKUP, backup_id, now=now)
    else:
        _to_commune(session, house, case, now=now)


def look(session: Session, house: House, payload: dict[str, Any], now: datetime) -> None:
    """Task "carry": something about the errand changed outside of a chat. Whoever it concerns now hears of it.

    `new`: who carries to the group and was not named for it before. What is being handed over is looked at a little
    later.
    """
    row = session.get(Outbox, payload["outbox"], populate_existing=True)  # its state is written past the session
    if row is None or row.id is None:
        return
    if _is_over(row, now) and outbox.advance(session.connection(), row.id, Step.CANCEL):
        session.refresh(row)
    errand = session.get(Errand, row.id)
    if row.state in relays.ON_ITS_WAY:
        new = payload.get("new", [])
        key = ":".join(map(str, (row.id, *new)))
        later(session, "carry", key, now + LOOK_AGAIN, outbox=row.id, new=new)
    elif errand is None:
        return
    elif row.state is State.SENT:
        _show_done(session, house, _case(session, errand), now=now)
    elif row.state is State.HANDED:
        _settle(session, house, _case(session, errand), payload.get("new", []), now=now)
    else:
        withdraw(session, house, errand.outbox_id, now=now)


def _settle(session: Session, house: House, case: _Case, new: Sequence[int], *, now: datetime) -> None:
    """The group's people have changed: the errand is with whoever has that part now.

    What was left to the commune goes to whoever is new, and comes back to it as everything does.
    """
    errand, group = case.errand, case.group
    parts = {Holder.CARRIER: group.carrier_id, Holder.BACKUP: group.backup_id}
    if errand.holder is Holder.COMMUNE:
        for holder, person_id in parts.items():
            if person_id in new and relays.reachable(session, person_id, case.village, now=now):
                errand.reminders = 0
                _pass_to(session, house, case, holder, person_id, now=now)
                break
    else:
        person_id = parts[errand.holder]
        if not relays.reachable(session, person_id, case.village, now=now):
            _next_holder(session, house, case, now=now)
        elif person_id != errand.person_id or person_id in new:
            errand.reminders = 0
            _pass_to(session, house, case, errand.holder, person_id, now=now)
        else:
            _send(session, house, case, now=now)
    _release(session, house, case, now=now)


def tell_commune(session: Session, house: House, payload: dict[str, Any], now: datetime) -> None:
    """Task "errands": one message a notice to each official, about what has come on the list since the last one."""
    notice = session.get_one(Notice, payload["notice"])
    unheard = [
        case
        for case in _cases(session, Errand.notice_id == notice.id, Errand.holder == Holder.COMMUNE)
        if not case.errand.reminders and not case.row.is_old
    ]
    morning = awake(now, house.zone, is_urgent=notice.is_urgent)
    if unheard and (morning > now or any(case.row.state in relays.ON_ITS_WAY for case in unheard)):
        later(session, "errands", str(notice.id), max(morning, now + LOOK_AGAIN), notice=notice.id)
        return
    new = {case.errand.outbox_id: case for case in unheard if case.row.state is State.HANDED}
    for case in new.values():
        case.errand.reminders = 1
        session.add(case.errand)
    session.flush()
    key = f"errands:{notice.id}:{now.timestamp():.0f}"
    for person_id in _officials(session, notice, new.values()):
        listed = overdue(session, house, actor_of(session, person_id), now=now)
        lines = [
            texts.commune_call(line.village, line.group, line.carrier, line.backup)
            for line in listed
            if line.outbox_id in new
        ]
        page = f"{house.public_url}/console/" if house.public_url else ""
        words = "\n".join([texts.commune_calls(notice.code, urgent=notice.is_urgent, page=page), *lines])
        for chat_id in people.private_chats(session, person_id):
            outbox.post(
                session.connection(),
                chat_id=chat_id,
                key=key,
                payloads=[to_payload(Message(plain(words)))],
                lane=Lane.URGENT if notice.is_urgent else Lane.REPLY,
                now=now,
            )


def _officials(session: Session, notice: Notice, cases: Iterable[_Case]) -> list[int]:
    """Who calls: officials over these villages, and the notice's author when it is not a village's own."""
    found = {person_id for case in cases for person_id in holders(session, case.village, Duty.APPROVE)}
    place, author = session.get_one(Unit, notice.unit_id), _person(session, notice.author_id)
    if found and author is not None and author.is_active and place.kind is not UnitKind.VILLAGE:
        found |= {notice.author_id} if actor_of(session, notice.author_id).may(Duty.BROADCAST, place) else set()
    return sorted(found)


def newest_here(session: Session, person_id: int, chat_id: int) -> int | None:
    """Which errand a bare "1" in this chat means: the only one that the person has, else the newest given here."""
    rows = session.exec(
        select(Errand.outbox_id, Errand.person_id)
        .join(Outbox, col(Outbox.id) == Errand.outbox_id)
        .join(RelayGroup, col(RelayGroup.chat_id) == Errand.chat_id)
        .where(*_waits_for(person_id))
        .order_by(col(Errand.given_at).desc(), col(Errand.outbox_id).desc())
    ).all()
    own = [outbox_id for outbox_id, holder_id in rows if holder_id == person_id]
    if len(own) == 1:
        return own[0]
    given_here = session.exec(
        select(Outbox.key)
        .where(Outbox.chat_id == chat_id, col(Outbox.key).in_([_key(outbox_id, "do") for outbox_id, _ in rows]))
        .order_by(col(Outbox.id).desc())
    ).first()
    if given_here is not None:
        return errand_of(given_here)
    return next((outbox_id for outbox_id in (*own, *(row[0] for row in rows))), None)


def asked_at(session: Session, outbox_id: int, chat_id: int) -> datetime | None:
    """When this chat was last asked to carry it; None when it never was."""
    keys = [_key(outbox_id, what) for what in TOLD_IN]
    asked = select(Outbox.created_at).where(Outbox.chat_id == chat_id, col(Outbox.key).in_(keys))
    return session.exec(asked.order_by(col(Outbox.created_at).desc()).limit(1)).first()


def _open_case(session: Session, outbox_id: int, *, now: datetime) -> _Case | None:
    """The errand when it is still to be done; one that is being handed over again is looked at a little later."""
    errand = session.get(Errand, outbox_id)
    case = _case(session, errand) if errand is not None else None
    if case is None or _is_over(case.row, now):
        return None
    if case.row.state in relays.ON_ITS_WAY:
        later(session, "errand", str(outbox_id), now + LOOK_AGAIN, outbox=outbox_id)
        return None
    return case if case.row.state is State.HANDED else None
