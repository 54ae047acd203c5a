"""`loa notice`: send a notice and see how far it got, without a browser."""

import asyncio
import csv
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from sqlmodel import Session, col, select

from adapters.text import joined
from bot import notices, reach, reach_sheet, relays, texts
from bot.errors import Conflict, Invalid, NotFound
from bot.face import Preview
from bot.house import House
from bot.notices import NewNotice
from bot.permissions import Actor, Duty, actor_of, village_for, villages_for
from bot.reach import NoticeReach
from bot.settings import Settings
from cli import opening
from cli.say import Trouble, confirmed, reason, say, say_json, table
from cli.user import person_of
from store.tables import Notice, NoticeKind, NoticeState, Person, Role, RoleName, Wanted

BY_HAND = ("Đã giao", "Đã chuyển", "Lượt mở")
"""Columns where a group is reached by hand; "Đã gửi" counts what was carried too."""

app = typer.Typer(no_args_is_help=True, help="Gửi thông báo, xem thông báo đã tới đâu. (Notices and their reach.)")


@app.command("send")
def send(
    villages: Annotated[str, typer.Option(help="Mã thôn, bản cách nhau bằng dấu phẩy, hoặc all")],
    body: Annotated[str, typer.Option(help="Nội dung")] = "",
    file: Annotated[Path | None, typer.Option(help="Đọc nội dung từ tệp văn bản; - là từ đầu vào")] = None,
    user: Annotated[str, typer.Option("--as", help="Người gửi; không cần khi chỉ có một cán bộ")] = "",
    urgent: Annotated[bool, typer.Option("--urgent", help="Tin khẩn")] = False,
    kind: Annotated[NoticeKind, typer.Option(help="Loại thông báo")] = NoticeKind.NOTICE,
    answers: Annotated[Wanted, typer.Option(help="Xin người dân trả lời gì")] = Wanted.ACKNOWLEDGE,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Không hỏi lại")] = False,
) -> None:
    """Soạn, xem trước, hỏi lại rồi gửi thông báo. (Draft, preview, confirm, send.)"""
    found = opening.settings()
    text = _body(body, file)
    opening.read(found, _nothing)
    asyncio.run(
        _send(
            found,
            NewNotice(body=text, unit_ids=(), kind=kind, is_urgent=urgent, wanted=answers),
            villages,
            user,
            yes=yes,
        )
    )


@app.command("reach")
def show_reach(
    code: Annotated[str, typer.Argument(metavar="CODE", help="Mã thông báo, ví dụ TB-4K7Q")],
    json: Annotated[bool, typer.Option("--json", help="In dạng JSON, như GET /api/v1/notices/CODE/reach")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="In dạng CSV")] = False,
) -> None:
    """Thông báo đã tới đâu, theo từng thôn, bản. (How far a notice got.)"""
    found = opening.settings()
    state, codes, figures = opening.read(found, _reach, code)
    if json:
        say_json(_as_json(code, state, codes, figures))
    elif as_csv:
        csv.writer(sys.stdout).writerows(reach_sheet.csv_rows(figures))
    else:
        say(f"{code.upper()}: {texts.STATES[state]}")
        say(_table(figures))


def _body(body: str, file: Path | None) -> str:
    if bool(body) == (file is not None):
        raise Trouble("Hãy cho nội dung bằng --body hoặc --file, một trong hai.")
    if file is None:
        return body
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text("utf-8-sig")
    except OSError as error:
        raise Trouble(f"Không đọc được tệp {file}: {reason(error)}.") from error
    except UnicodeDecodeError as error:
        raise Trouble(f"Tệp {file} không phải văn bản UTF-8.") from error


async def _send(found: Settings, new: NewNotice, villages: str, user: str, *, yes: bool) -> None:
    # The messengers are opened, not used: what they can do decides how the notice looks.
    from scheduler.runtime import open_runtime

    async with open_runtime(found, work=False, owner=False) as runtime:
        drafted = await runtime.store.write(_draft, runtime.house, new, villages, user, now=opening.now())
        notice_id, code, count, previews = drafted
        say(_shown(previews, count))
        is_sure = False
        try:
            is_sure = await asyncio.to_thread(confirmed, f"Gửi {code} tới {count} thôn, bản?", yes=yes)
        finally:
            if not is_sure:
                await runtime.store.write(_cancel, runtime.house, notice_id, now=opening.now())
        if not is_sure:
            raise Trouble("Đã bỏ, chưa gửi gì.")
        state = await runtime.store.write(_submit, runtime.house, notice_id, now=opening.now())
    if state is NoticeState.WAITING:
        say(f"{code} đang chờ người thứ hai duyệt (trên trang quản lý hoặc qua tin nhắn).")
    else:
        say(f"{code} đã phát: dịch vụ đang chạy sẽ gửi ngay. Xem kết quả: loa notice reach {code}")


def _draft(
    session: Session, house: House, new: NewNotice, villages: str, user: str, *, now: datetime
) -> tuple[int, str, int, list[Preview]]:
    actor = actor_of(session, _author(session, user).id or 0)
    unit_ids = tuple(unit_id for unit_id in _targets(session, actor, villages))
    chosen = NewNotice(body=new.body, unit_ids=unit_ids, kind=new.kind, is_urgent=new.is_urgent, wanted=new.wanted)
    notice = notices.draft(session, house, actor, chosen, now=now, origin="cli")
    return notice.id or 0, notice.code, len(unit_ids), notices.previews(session, house, notice, now=now)


def _author(session: Session, user: str) -> Person:
    if user:
        return person_of(session, user)
    officials = session.exec(
        select(Person)
        .join(Role, col(Role.person_id) == Person.id)
        .where(Role.role == RoleName.OFFICIAL, col(Role.revoked_at).is_(None), col(Person.is_active))
        .distinct()
    ).all()
    if len(officials) == 1:
        return officials[0]
    names = ", ".join(sorted(person.username or str(person.id) for person in officials)) or "chưa có cán bộ nào"
    raise Invalid(f"Ai gửi? Hãy thêm --as NGƯỜI ({names}).")


def _targets(session: Session, actor: Actor, villages: str) -> list[int]:
    if villages.strip().lower() == "all":
        return [unit.id or 0 for unit in villages_for(session, actor, Duty.BROADCAST)]
    codes = [code.strip().lower() for code in villages.split(",") if code.strip()]
    try:
        return [village_for(session, actor, code, Duty.BROADCAST).id or 0 for code in codes]
    except NotFound as error:
        mine = ", ".join(unit.code for unit in villages_for(session, actor, Duty.BROADCAST)) or "không có nơi nào"
        raise NotFound(f"{actor.name} gửi được tới: {mine}. Hãy xem lại --villages.") from error


def _submit(session: Session, house: House, notice_id: int, *, now: datetime) -> NoticeState:
    notice = session.get_one(Notice, notice_id)
    return notices.submit(session, house, actor_of(session, notice.author_id), notice, now=now)


def _cancel(session: Session, house: House, notice_id: int, *, now: datetime) -> None:
    notice = session.get_one(Notice, notice_id)
    notices.cancel(session, house, actor_of(session, notice.author_id), notice, now=now)


def _shown(previews: list[Preview], count: int) -> str:
    """What residents will read, one messenger after another."""
    if not previews:
        return f"Chưa nhóm nào trong {count} thôn, bản này được nối: thông báo sẽ không tới nhóm nào."
    lines = []
    for preview in previews:
        lines.append(f"──── {'chuyển tay' if preview.adapter == relays.RELAY else preview.adapter} ────")
        for message in preview.messages:
            lines += [joined(message.text)] if message.text else []
            lines += [f"[tệp {message.file.name}]"] if message.file else []
            lines += ["  ".join(f"[{button.label}]" for button in row) for row in message.buttons]
            lines.append("")
    return "\n".join(lines)


# ---------------------------------------------------------------- figures


def _reach(session: Session, code: str) -> tuple[NoticeState, dict[int, str], NoticeReach]:
    notice = session.exec(select(Notice).where(Notice.code == code.strip().upper())).first()
    if notice is None:
        raise NotFound(f"Không có thông báo nào mang mã {code}.")
    if notice.published_at is None:
        raise Conflict(f"{notice.code} chưa được phát ({texts.STATES[notice.state]}).")
    villages = notices.targets_of(session, notice)
    return notice.state, {v.id or 0: v.code for v in villages}, reach.of_notice(session, notice, villages)


def _table(figures: NoticeReach) -> str:
    """The columns that fit a terminal; the rest is in --csv and --json."""
    hands = figures.total.by_hand > 0
    header = ("Thôn, bản", "Nhóm", "Đã gửi", *(BY_HAND if hands else ()), "Hỏng", "Chưa rõ", "Đã xem", "Đã nắm")
    rows = [
        (
            line.name,
            line.chats,
            line.sent,
            *((line.given, line.carried, _told(line.opens)) if hands else ()),
            line.failed,
            line.unknown,
            _told(line.seen),
            line.words,
        )
        for line in (*figures.villages, figures.total)
    ]
    problems = [f"  {problem.chat_title}: {problem.words}" for line in figures.villages for problem in line.problems]
    return "\n".join([table(header, rows), *(["", "Chưa tới:", *problems] if problems else [])])


def _told(count: int | None) -> object:
    return texts.NOT_MEASURABLE if count is None else count


def _as_json(code: str, state: NoticeState, codes: dict[int, str], figures: NoticeReach) -> object:
    from api.reach import reach_out

    return reach_out(code, state, codes, figures).model_dump(mode="json")


def _nothing(session: Session) -> None:
    """Looking at the database is enough: its shape is checked on the way."""
