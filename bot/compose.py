"""/thongbao: a notice written in a private chat, on a phone, in about a minute.

Words and files come in, villages are chosen (a head with one village is not asked), then the notice is shown exactly as
residents will see it, with one message of buttons below. Every step also works by typing.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from adapters.contract import Button, Buttons, FileRef
from adapters.text import clean, plain
from bot import dialogs, households, media, notices, people, progress, relays, texts
from bot.dialogs import Place
from bot.errors import Invalid
from bot.face import Face
from bot.messages import Message
from bot.notices import NewFile, NewNotice
from bot.permissions import Actor, Duty, issuers_for, villages_for
from bot.turn import Turn, rows_of
from store import files
from store.tables import FileKind, Issuer, NoticeKind, NoticeState, Unit, Wanted

KIND = "compose"
WORD = "c"
"""First word of button tokens here, `c:{code}:{what}:{which}`: a button belongs to the notice that it stood under."""
WANTED_CYCLE = (Wanted.ACKNOWLEDGE, Wanted.ATTEND, Wanted.NOTHING)
OTHER = "other"
"""A language that the list does not name."""


@dataclass(frozen=True, slots=True)
class Held:
    """A file that came in."""

    file_id: int
    kind: str
    name: str
    media_type: str
    language: str = ""


@dataclass(frozen=True, slots=True)
class Work:
    """What has been said so far."""

    code: str
    body: str = ""
    files: tuple[Held, ...] = ()
    unit_ids: tuple[int, ...] = ()
    issuer_id: int | None = None
    is_urgent: bool = False
    wanted: Wanted = Wanted.ACKNOWLEDGE
    widened: bool = field(default=False)
    """The villages were chosen by hand, and are not asked for again."""

    def data(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "body": self.body,
            "files": [[f.file_id, f.kind, f.name, f.media_type, f.language] for f in self.files],
            "units": self.unit_ids,
            "issuer": self.issuer_id,
            "urgent": self.is_urgent,
            "wanted": self.wanted.value,
            "chosen": self.widened,
        }

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> "Work":
        return cls(
            code=data["code"],
            body=data["body"],
            files=tuple(Held(*file) for file in data["files"]),
            unit_ids=tuple(data["units"]),
            issuer_id=data["issuer"],
            is_urgent=data["urgent"],
            wanted=Wanted(data["wanted"]),
            widened=data["chosen"],
        )


# ---------------------------------------------------------------- what is said


def begin(turn: Turn, actor: Actor, words: str, refs: Sequence[FileRef], fetched: Mapping[str, bytes]) -> None:
    """/thongbao, perhaps with the text right behind it."""
    if not villages_for(turn.session, actor, Duty.BROADCAST):
        turn.say(texts.NO_VILLAGES)
        return
    work = Work(code=notices.new_code(turn.session))
    if words or refs:
        take(turn, actor, work, words, refs, fetched)
        return
    _go(turn, "words", work)
    turn.say(texts.COMPOSE_ASK)


def said(
    turn: Turn, actor: Actor, place: Place, words: str, refs: Sequence[FileRef], fetched: Mapping[str, bytes]
) -> None:
    """Something typed or forwarded while a notice is being written."""
    work = Work.of(place.data)
    if refs or place.step == "words":
        take(turn, actor, work, words, refs, fetched)
    elif place.step == "villages":
        _choose_typed(turn, actor, work, words)
    else:
        turn.say(texts.COMPOSE_USE_BUTTONS)


def take(
    turn: Turn, actor: Actor, work: Work, words: str, refs: Sequence[FileRef], fetched: Mapping[str, bytes]
) -> None:
    """Add words and files to the notice and go on to what is still open."""
    held = list(work.files)
    for ref in refs:
        content = fetched.get(ref.ref)
        if not content:
            turn.say(texts.COMPOSE_FILE_LOST)
            continue
        try:
            told = media.told(ref.name, ref.media_type, content)
        except Invalid as refused:  # a broken file or an app; what else came stays
            turn.say(refused.words)
            continue
        file_id = files.keep(turn.session, content, told.media_type, now=turn.now)
        held.append(Held(file_id, told.kind.value, ref.name, told.media_type))
    body = clean("\n\n".join(part for part in (work.body, words) if part))
    if len(body) > notices.LONGEST:
        turn.say(texts.COMPOSE_TOO_LONG.format(limit=texts.number(notices.LONGEST)))
        body = work.body
    _next(turn, actor, replace(work, body=body, files=tuple(held[: notices.MOST_FILES])))


def _next(turn: Turn, actor: Actor, work: Work) -> None:
    """Ask for what is missing, or show the whole."""
    if any(file.kind == FileKind.VOICE and not file.language for file in work.files):
        _go(turn, "language", work)
        buttons = [Button(name, _token(work, "lang", language or OTHER)) for language, name in texts.LANGUAGES]
        turn.say(texts.COMPOSE_LANGUAGE, rows_of(buttons, 2))
        return
    if not work.body:
        _go(turn, "words", work)
        turn.say(texts.COMPOSE_ASK_TEXT if work.files else texts.COMPOSE_ASK)
        return
    villages = villages_for(turn.session, actor, Duty.BROADCAST)
    if len(villages) == 1:
        work = replace(work, unit_ids=(villages[0].id or 0,), widened=True)
    if not work.widened:
        _go(turn, "villages", work)
        turn.say(_numbered(villages), _village_buttons(villages, work))
        return
    _show(turn, actor, work)


def _show(turn: Turn, actor: Actor, work: Work) -> None:
    """The notice as residents will see it, then one message with what can still be changed."""
    session, house, now = turn.session, turn.house, turn.now
    checked = notices.check(session, actor, _new(turn, work), now=now)
    shown = Face(
        code=work.code,
        kind=NoticeKind.NOTICE,
        is_urgent=work.is_urgent,
        issuer=checked.issuer.name,
        issuer_kind=checked.issuer.kind,
        body=checked.body,
        at=house.local(now),
        wanted=work.wanted,
        url=notices.url_of(house, work.code),
    )
    uses = [notices.file_use(f.file_id, FileKind(f.kind), f.name, f.media_type, f.language) for f in work.files]
    # Cut for this chat, because it is shown here; the groups get the same words by their own messenger's lengths.
    here = turn.messenger.channel_id
    ways = relays.split(session, house, notices.groups_of(session, work.unit_ids, None))
    if ways.by_hand and not ways.posted:
        preview = notices.carried_messages(house, shown, uses)
    else:
        preview = notices.messages_for(session, house, here, shown, uses, now=now, preview=True)
    turn.show([*preview, _control(turn, actor, work, checked.issuer)])
    _go(turn, "confirm", work)


def _control(turn: Turn, actor: Actor, work: Work, issuer: Issuer) -> Message:
    """Where it will go, and what can still be changed."""
    villages = [turn.session.get_one(Unit, unit_id) for unit_id in work.unit_ids]
    groups = notices.groups_of(turn.session, work.unit_ids, None)
    reached = {group.unit_id for group in groups}
    place = turn.session.get_one(Unit, issuer.unit_id)
    ways = relays.split(turn.session, turn.house, groups)
    summary = texts.compose_summary(
        [village.name for village in villages],
        ways.posted,
        households.register_size(turn.session, work.unit_ids),
        [village.name for village in villages if village.id not in reached],
        issuer.name,
        by_hand=ways.by_hand,
        carriers=ways.carriers,
        idle=[village.name for village in villages if village.id in ways.idle],
        approval=bool(
            notices.second_persons(
                turn.session, turn.house, place, len(villages), actor.person_id, is_urgent=work.is_urgent
            )
        ),
        link=bool(turn.house.public_url),
    )
    buttons = [
        Button(texts.SEND, _token(work, "do", "send")),
        Button(texts.REWRITE, _token(work, "do", "rewrite")),
        Button(texts.toggle_urgent(work.is_urgent), _token(work, "do", "urgent")),
        Button(texts.toggle_wanted(work.wanted), _token(work, "do", "wanted")),
    ]
    if len(_issuers(turn, actor, villages)) > 1:
        buttons.append(Button(texts.toggle_issuer(issuer.name), _token(work, "do", "issuer")))
    if len(villages_for(turn.session, actor, Duty.BROADCAST)) > 1:
        buttons.append(Button(texts.RECHOOSE, _token(work, "do", "villages")))
    buttons.append(Button(texts.DROP, _token(work, "do", "drop")))
    return Message(plain(summary), rows_of(buttons, 1))


def _issuers(turn: Turn, actor: Actor, villages: Sequence[Unit]) -> list[Issuer]:
    """Bodies that may sign for all these villages."""
    found = []
    for issuer in issuers_for(turn.session, actor):
        place = turn.session.get_one(Unit, issuer.unit_id)
        if all(village.path.startswith(place.path) for village in villages):
            found.append(issuer)
    return found


# ---------------------------------------------------------------- what is pressed


STEPS = {"lang": "language", "v": "villages", "do": "confirm"}
"""At which step a button means something: an old one must not send what was never shown."""


def press(turn: Turn, actor: Actor, code: str, what: str, which: str, row_id: int | None) -> None:
    """A button of this conversation."""
    place = dialogs.of(turn)
    if place is None or place.kind != KIND or place.data["code"] != code or STEPS.get(what) != place.step:
        turn.answer(texts.ALREADY_DONE)
        turn.rewrite(row_id, texts.ALREADY_DONE)
        return
    work = Work.of(place.data)
    match what:
        case "lang":
            named = [
                replace(f, language=which) if f.kind == FileKind.VOICE and not f.language else f for f in work.files
            ]
            turn.answer(dict(texts.LANGUAGES).get("" if which == OTHER else which, ""))
            _next(turn, actor, replace(work, files=tuple(named)))
        case "v":
            _toggle(turn, actor, work, which, row_id)
        case "do":
            _do(turn, actor, work, which, row_id)
        case _:
            turn.answer(texts.PRESS_STALE)


def _toggle(turn: Turn, actor: Actor, work: Work, which: str, row_id: int | None) -> None:
    villages = villages_for(turn.session, actor, Duty.BROADCAST)
    every = tuple(village.id or 0 for village in villages)
    if which == "next":
        _chosen(turn, actor, work)
        return
    if which == "all":
        unit_ids = () if set(work.unit_ids) == set(every) else every
    else:
        pressed = int(which) if which.isdigit() else 0
        picked = set(work.unit_ids) ^ {pressed}
        unit_ids = tuple(unit_id for unit_id in every if unit_id in picked)
    work = replace(work, unit_ids=unit_ids)
    _go(turn, "villages", work)
    turn.answer(f"Đã chọn {len(unit_ids)}/{len(every)} bản")
    turn.rewrite(row_id, _numbered(villages), _village_buttons(villages, work))


def _do(turn: Turn, actor: Actor, work: Work, which: str, row_id: int | None) -> None:
    match which:
        case "send":
            _send(turn, actor, work, row_id)
            return
        case "drop":
            dialogs.end(turn)
            turn.rewrite(row_id, texts.CANCELLED)
            turn.answer(texts.CANCELLED)
            return
        case "rewrite":
            _go(turn, "words", replace(work, body=""))
            turn.rewrite(row_id, texts.COMPOSE_REWRITE)
            turn.say(texts.COMPOSE_REWRITE)
            return
        case "villages":
            work = replace(work, widened=False)
            turn.rewrite(row_id, texts.RECHOOSE)
            _next(turn, actor, work)
            return
        case "urgent":
            work = replace(work, is_urgent=not work.is_urgent)
        case "wanted":
            work = replace(work, wanted=WANTED_CYCLE[(WANTED_CYCLE.index(work.wanted) + 1) % len(WANTED_CYCLE)])
        case "issuer":
            issuers = _issuers(turn, actor, [turn.session.get_one(Unit, unit_id) for unit_id in work.unit_ids])
            ids = [issuer.id for issuer in issuers]
            at = ids.index(work.issuer_id) if work.issuer_id in ids else 0
            work = replace(work, issuer_id=ids[(at + 1) % len(ids)])
        case _:
            turn.answer(texts.PRESS_STALE)
            return
    # What residents see has changed, so it is shown again; the old control message says so.
    turn.rewrite(row_id, "…")
    _show(turn, actor, work)


def _send(turn: Turn, actor: Actor, work: Work, row_id: int | None) -> None:
    assert turn.chat.id is not None
    origin = progress.origin(turn.chat.id)
    new = _new(turn, work)
    notice = notices.draft(turn.session, turn.house, actor, new, now=turn.now, origin=origin, code=work.code)
    dialogs.end(turn)
    state = notices.submit(turn.session, turn.house, actor, notice, now=turn.now)
    if state is NoticeState.WAITING:
        asked = notices.asked_to_approve(turn.session, turn.house, notice)
        told = sum(bool(people.private_chats(turn.session, person)) for person in asked)
        turn.rewrite(row_id, texts.waiting(notice.code, told=told))
        turn.answer(texts.waiting(notice.code, told=told))
    else:
        turn.rewrite(row_id, f"{notice.code}: bắt đầu gửi.")
        turn.answer("Đang gửi…")


# ---------------------------------------------------------------- choosing villages by typing


def _choose_typed(turn: Turn, actor: Actor, work: Work, words: str) -> None:
    villages = villages_for(turn.session, actor, Duty.BROADCAST)
    if clean(words).casefold() in ("tất cả", "tat ca", "het", "hết"):
        picked = [village.id or 0 for village in villages]
    else:
        numbers = [int(n) for n in re.findall(r"\d+", words)]
        picked = [villages[n - 1].id or 0 for n in dict.fromkeys(numbers) if 1 <= n <= len(villages)]
    _chosen(turn, actor, replace(work, unit_ids=tuple(picked)))


def _chosen(turn: Turn, actor: Actor, work: Work) -> None:
    if not work.unit_ids:
        turn.answer(texts.COMPOSE_NONE)
        if not turn.press_id:
            turn.say(texts.COMPOSE_NONE)
        return
    turn.answer("Đang dựng bản xem trước…")
    _next(turn, actor, replace(work, widened=True))


def _numbered(villages: Sequence[Unit]) -> str:
    lines = [f"{number}. {village.name}" for number, village in enumerate(villages, start=1)]
    return "\n".join([texts.COMPOSE_VILLAGES, *lines])


def _village_buttons(villages: Sequence[Unit], work: Work) -> Buttons:
    buttons = [
        Button(f"{'☑' if v.id in work.unit_ids else '☐'} {number}. {v.name}", _token(work, "v", str(v.id)))
        for number, v in enumerate(villages[:MOST_BUTTONS], start=1)
    ]
    end = [Button(texts.COMPOSE_ALL, _token(work, "v", "all")), Button(texts.COMPOSE_NEXT, _token(work, "v", "next"))]
    return (*rows_of(buttons, 2), tuple(end))


MOST_BUTTONS = 90
"""Telegram refuses a keyboard of more than 100 buttons; further villages are chosen by number."""


# ---------------------------------------------------------------- the notice behind the conversation


def _new(turn: Turn, work: Work) -> NewNotice:
    """The notice as it stands."""
    loaded = []
    for held in work.files:
        kept = files.load(turn.session, held.file_id)
        if kept is not None:
            language = "" if held.language == OTHER else held.language
            file = NewFile(
                kind=FileKind(held.kind),
                name=held.name,
                media_type=held.media_type,
                content=kept.content,
                language=language,
            )
            loaded.append(file)
    return NewNotice(
        body=work.body,
        unit_ids=work.unit_ids,
        issuer_id=work.issuer_id,
        is_urgent=work.is_urgent,
        wanted=work.wanted,
        files=tuple(loaded),
    )


def _token(work: Work, what: str, which: str) -> str:
    return f"{WORD}:{work.code}:{what}:{which}"


def _go(turn: Turn, step: str, work: Work) -> None:
    dialogs.put(turn, KIND, step, work.data())
