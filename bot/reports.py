"""/baocao and /chuanam: how far a notice got, and whom it has not reached, told in a chat."""

import re
from collections.abc import Sequence

from sqlmodel import col, or_, select

from adapters.contract import Button, Buttons
from bot import dialogs, reach, texts
from bot.dialogs import Place
from bot.errors import Invalid, NotFound
from bot.permissions import NOT_FOUND, Actor, Duty, notice_for, targets_seen, village_for
from bot.turn import Turn, rows_of
from store.tables import Household, Notice, NoticeState, NoticeTarget, Reach, Unit

KIND = "missing"
WORD = "m"
"""First word of button tokens here: `m:r:{code}` report, `m:l:{code}` list,
`m:t:{code}:{household}` tick, `m:u:{code}:{household}` take the tick back."""
TICKING = (Duty.REGISTER, Duty.VISIT)
LATEST = 6
SHOWN = 40
"""Households of a list in a chat: it stays one message that can be edited; ticked ones make room for the next."""


def report(turn: Turn, actor: Actor, code: str) -> None:
    """/baocao [code] in private."""
    if not code:
        _pick(turn, actor, "r")
        return
    notice = _published(turn, actor, code, Duty.FIGURES)
    villages = targets_seen(turn.session, actor, notice)
    found = reach.of_notice(turn.session, notice, villages)
    lines = [_head(turn, notice), ""]
    lines += [_line(line) for line in found.villages]
    if len(found.villages) > 1:
        lines += ["", _line(found.total)]
    if found.total.by_hand:
        lines += ["", found.words]
    may_tick = any(_may_tick(actor, village) for village in villages)
    turn.say("\n".join(lines), ((Button("Hộ chưa nắm", f"{WORD}:l:{notice.code}"),),) if may_tick else ())


def group_report(turn: Turn) -> None:
    """/baocao in a village's group: the latest notice in one line, numbers only."""
    if turn.chat.unit_id is None:
        return
    latest = turn.session.exec(
        select(Notice, Reach)
        .join(Reach, col(Reach.notice_id) == Notice.id)
        .where(Reach.unit_id == turn.chat.unit_id, Notice.state == NoticeState.PUBLISHED)
        .order_by(col(Notice.published_at).desc())
        .limit(1)
    ).first()
    if latest is None:
        turn.say(texts.NO_NOTICES)
        return
    notice, row = latest
    took = texts.took_note(row.card + row.number + row.head + row.visit, row.households, row.unlinked)
    turn.say(f"{_head(turn, notice)}\nĐã nắm: {took}.")


def missing(turn: Turn, actor: Actor, code: str) -> None:
    """/chuanam [code] in private: one list for each village of the head, or of who calls at houses there."""
    if not _paths(actor, TICKING):
        turn.say(texts.HEADS_LIST)
        return
    if not code:
        _pick(turn, actor, "l")
        return
    notice = _published(turn, actor, code, Duty.FIGURES)
    villages = [village for village in targets_seen(turn.session, actor, notice) if _may_tick(actor, village)]
    if not villages:
        raise NotFound(NOT_FOUND)
    for village in villages:
        turn.say(*_list(turn, actor, notice, village))
    place = dialogs.of(turn)
    if (
        place is None or place.kind == KIND
    ):  # a notice that is being written must not be lost; buttons work all the same
        dialogs.put(turn, KIND, "tick", {"code": notice.code, "villages": [village.id for village in villages]})


def tick_typed(turn: Turn, actor: Actor, place: Place, words: str) -> bool:
    """Numbers typed after /chuanam are households told in person. False: these words are no numbers."""
    if not re.fullmatch(r"[\d\s,.;]+", words):
        return False
    notice = notice_for(turn.session, actor, place.data["code"])
    numbers = [int(number) for number in re.findall(r"\d+", words)]
    if len(place.data["villages"]) != 1:
        turn.say("Bác có nhiều bản, xin bấm nút ở danh sách của từng bản.")
        return True
    village = village_for(turn.session, actor, place.data["villages"][0], Duty.FIGURES)
    ids = {
        household.number: household.id or 0
        for household in turn.session.exec(
            select(Household).where(Household.unit_id == village.id, col(Household.number).in_(numbers))
        )
    }
    if unknown := [number for number in numbers if number not in ids]:
        raise Invalid(texts.no_such_household(unknown[0], village.name))
    reach.tick(turn.session, actor, notice, village, list(ids.values()), now=turn.now)
    turn.say(_ticked(actor, village, sorted(ids)))
    turn.say(*_list(turn, actor, notice, village))
    return True


def instead(turn: Turn, actor: Actor, place: Place, words: str) -> tuple[str, Buttons]:
    """How to tick the household whose number was typed, when the number was taken for something else."""
    typed = re.findall(r"\d+", words)
    if len(typed) != 1 or len(place.data["villages"]) != 1:
        return "", ()
    notice = notice_for(turn.session, actor, place.data["code"])
    village = village_for(turn.session, actor, place.data["villages"][0], Duty.FIGURES)
    wanted = (Household.unit_id == village.id, Household.number == int(typed[0]), col(Household.closed_at).is_(None))
    household = turn.session.exec(select(Household).where(*wanted)).first()
    if household is None:
        return "", ()
    button = Button(f"Hộ {household.number}", f"{WORD}:t:{notice.code}:{household.id}")
    return texts.carry_not_household(household.number), ((button,),)


def press(turn: Turn, actor: Actor, what: str, code: str, rest: str, row_id: int | None) -> None:
    match what:
        case "r":
            report(turn, actor, code)
            turn.answer(code)
        case "l":
            missing(turn, actor, code)
            turn.answer(code)
        case "t" | "u" if rest.isdigit():
            _tick(turn, actor, code, int(rest), row_id, back=what == "u")
        case _:
            turn.answer(texts.PRESS_STALE)


def _tick(turn: Turn, actor: Actor, code: str, household_id: int, row_id: int | None, *, back: bool) -> None:
    """Tick a household, or take the tick `back`. Two buttons, because an impatient thumb presses twice."""
    household = turn.session.get(Household, household_id)
    if household is None:
        turn.answer(texts.PRESS_STALE)
        return
    notice = notice_for(turn.session, actor, code)
    village = village_for(turn.session, actor, household.unit_id, Duty.FIGURES)
    if back:
        reach.untick(turn.session, actor, notice, village, [household_id], now=turn.now)
        turn.answer(texts.unticked(household.number))
    else:
        reach.tick(turn.session, actor, notice, village, [household_id], now=turn.now)
        turn.answer(_ticked(actor, village, [household.number]))
    words, buttons = _list(turn, actor, notice, village)
    if not back:
        token = f"{WORD}:u:{notice.code}:{household_id}"
        buttons = (*buttons, (Button(texts.take_back(household.number), token),))
    turn.rewrite(row_id, words, buttons)


def _list(turn: Turn, actor: Actor, notice: Notice, village: Unit) -> tuple[str, Buttons]:
    """The list's words and its buttons."""
    row = turn.session.get(Reach, (notice.id, village.id), populate_existing=True)
    if row is None or not row.households:
        return texts.NO_REGISTER, ()
    left = reach.missing(turn.session, turn.house, actor, notice, village)
    if not left:
        return f"{notice.code}, {village.name}: {texts.NO_MISSING}", ()
    lines = [texts.missing_head(notice.code, village.name, len(left), row.households)]
    for household in left[:SHOWN]:
        notes = [household.label] if household.label else []
        if household.no_smartphone:
            notes.append("không có điện thoại thông minh")
        if household.told_by is not None:
            notes.append(f"nhờ hộ {household.told_by} báo")
        lines.append(f"• Hộ {household.number}" + (f": {', '.join(notes)}" if notes else ""))
    if len(left) > SHOWN:
        lines.append(texts.missing_more(len(left) - SHOWN))
    buttons = [Button(f"Hộ {h.number}", f"{WORD}:t:{notice.code}:{h.id}") for h in left[:SHOWN]]
    return "\n".join(lines), rows_of(buttons, 3)


def _pick(turn: Turn, actor: Actor, what: str) -> None:
    """The latest notices, as buttons."""
    paths = _paths(actor, (Duty.FIGURES,) if what == "r" else TICKING)
    below = [col(Unit.path).startswith(path, autoescape=True) for path in paths]
    latest = (
        turn.session.exec(
            select(Notice)
            .join(NoticeTarget, col(NoticeTarget.notice_id) == Notice.id)
            .join(Unit, col(Unit.id) == NoticeTarget.unit_id)
            .where(Notice.state == NoticeState.PUBLISHED, or_(*below))
            .distinct()
            .order_by(col(Notice.published_at).desc())
            .limit(LATEST)
        ).all()
        if below
        else []
    )
    if not latest:
        turn.say(texts.NO_NOTICES)
    elif len(latest) == 1:
        (report if what == "r" else missing)(turn, actor, latest[0].code)
    else:
        buttons = [Button(_head(turn, notice), f"{WORD}:{what}:{notice.code}") for notice in latest]
        turn.say(texts.PICK_NOTICE, rows_of(buttons, 1))


def _published(turn: Turn, actor: Actor, code: str, duty: Duty) -> Notice:
    """A notice that is out: before that even its existence is the office's own matter."""
    notice = notice_for(turn.session, actor, code, duty)
    if notice.published_at is None:
        raise NotFound(NOT_FOUND)
    return notice


def _head(turn: Turn, notice: Notice) -> str:
    at = f", {texts.moment(turn.house.local(notice.published_at))}" if notice.published_at else ""
    return f"{notice.code} · {notice.issuer_name}{at}"


def _line(line: reach.VillageReach) -> str:
    """One village in words."""
    sent = f"đã gửi {line.sent}/{line.chats} nhóm"
    if line.carried:
        sent += f" (trong đó {line.carried} chuyển tay)"
    if line.failed:
        reasons = sorted({problem.words for problem in line.problems})
        sent += f", {line.failed} chưa gửi được ({'; '.join(reasons)})" if reasons else f", {line.failed} chưa gửi được"
    if line.unknown:
        sent += f", {line.unknown} chưa rõ"
    if line.handed:
        sent += f", {line.handed} đã giao, chưa báo chuyển"
    seen = texts.NOT_MEASURABLE if line.seen is None else texts.number(line.seen)
    people = texts.NOT_MEASURABLE if line.members is None else texts.number(line.members)
    parts = [f"{line.name}: {sent}; người trong nhóm: {people}; đã xem: {seen}; đã nắm: {line.words}"]
    grades = [
        (line.card, "tự xác nhận"),
        (line.number, "tự khai"),
        (line.head, "trưởng bản ghi"),
        (line.visit, "tổ đến nhà"),
    ]
    if shown := [f"{count} {word}" for count, word in grades if count]:
        parts.append(f" ({', '.join(shown)})")
    answers = [(line.join, "tham gia"), (line.absent, "vắng"), (line.help, "cần giúp")]
    if shown := [f"{count} {word}" for count, word in answers if count]:
        parts.append(f"; {', '.join(shown)}")
    if line.opens is not None:
        parts.append(f"; {texts.OPENS}: {texts.number(line.opens)}")
    if line.told_count is not None:
        parts.append(f"; {texts.told_count(line.told_count)}")
    if line.old_texts:
        parts.append(f"; ⚠️ còn mang tin cũ: {', '.join(line.old_texts)}")
    if line.median is not None:
        parts.append(f"; một nửa nắm trong {texts.span(line.median)}")
    return "".join(parts) + "."


def _paths(actor: Actor, duties: Sequence[Duty]) -> list[str]:
    """Roots of the subtrees in which one of the duties holds."""
    return sorted({path for duty in duties for path in actor.paths(duty)})


def _may_tick(actor: Actor, village: Unit) -> bool:
    return any(actor.may(duty, village) for duty in TICKING)


def _ticked(actor: Actor, village: Unit, numbers: Sequence[int]) -> str:
    """What was recorded: by the head, or on a visit."""
    return texts.ticked(numbers) if actor.may(Duty.REGISTER, village) else texts.visited(numbers)
