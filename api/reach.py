"""REST: how far a notice reached. What cannot be told is null and named in `not_measurable`, never 0."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from sqlmodel import Session
from starlette.responses import Response

from api.notices import REFUSALS, Asking
from api.reads import villages_of, visible_notice
from api.state import runtime
from bot.permissions import Actor
from bot.reach import NoticeReach, Problem, VillageReach, of_notice
from bot.reach_sheet import csv_rows
from bot.texts import failure
from store.tables import NoticeState, State


class Grades(BaseModel):
    """Households by the best evidence that they took note."""

    card: int = Field(description="Hộ tự xác nhận bằng thẻ của hộ.")
    number: int = Field(description="Hộ tự khai số hộ.")
    head: int = Field(description="Trưởng thôn, bản ghi.")
    visit: int = Field(description="Ghi khi đến nhà.")


class Answers(BaseModel):
    join: int
    absent: int
    help: int


class ProblemOut(BaseModel):
    row: int
    chat: str
    state: State
    error: str
    reason: str


class Figures(BaseModel):
    chats: int = Field(description="Số nhóm cần gửi.")
    sent: int
    given: int | None = Field(description="Nhóm chuyển tay đã giao cho người chuyển; null là không có nhóm chuyển tay.")
    carried: int | None = Field(description="Trong đó, nhóm đã được chuyển tới; cũng nằm trong `sent`.")
    handed: int = Field(description="Đang ở tay người chuyển, chưa báo đã chuyển.")
    failed: int
    unknown: int = Field(description="Chưa rõ đã tới chưa.")
    members: int | None = Field(description="Số người trong các nhóm lúc gửi; null là không đo được.")
    seen: int | None = Field(description="Số người đã xem; null là không đo được.")
    opens: int | None = Field(
        description="Lượt mở đường dẫn của bản (ước lượng), không phải số người đã đọc; null là không đo được."
    )
    households: int | None = Field(description="Số hộ trong sổ; null là chưa có sổ hộ.")
    acknowledged_households: int | None = Field(description="Số hộ đã nắm; null là chưa có sổ hộ.")
    grades: Grades | None
    unlinked_accounts: int = Field(description="Tài khoản đã bấm nhưng chưa gắn hộ.")
    answers: Answers
    median_seconds: int | None = Field(
        description="Nửa số người trả lời đã trả lời trong chừng này giây; null là chưa có."
    )
    carried_median_seconds: int | None = Field(
        description="Nửa số nhóm chuyển tay đã được chuyển trong chừng này giây từ lúc giao; null là chưa có."
    )
    told_count: int | None = Field(description="Số người trưởng bản đếm, không cộng vào hộ; null là chưa ghi.")
    old_texts: list[str] = Field(description="Tên những nhóm còn mang lời đã đính chính hay thu hồi.")
    not_measurable: list[Literal["members", "seen", "opens", "households"]]


class VillageFigures(Figures):
    code: str
    name: str
    failures: list[ProblemOut]


class ReachOut(BaseModel):
    code: str
    state: NoticeState
    words: str = Field(description="Cả bảng trong một dòng.")
    total: Figures
    villages: list[VillageFigures]


router = APIRouter(prefix="/api/v1/notices", tags=["Số liệu"], responses=REFUSALS)


@router.get("/{code}/reach", summary="Thông báo đã tới đâu, theo từng thôn, bản", response_model=ReachOut)
async def reach(
    request: Request, actor: Asking, code: str, format: Literal["json", "csv"] = "json"
) -> ReachOut | Response:
    state, codes, figures = await runtime(request).store.read(reach_seen, actor, code)
    if format == "csv":
        return csv_answer(code.upper(), csv_rows(figures))
    return reach_out(code, state, codes, figures)


def reach_out(code: str, state: NoticeState, codes: Mapping[int, str], figures: NoticeReach) -> ReachOut:
    """The figures as JSON says them. `codes`: of villages, by id."""
    return ReachOut(
        code=code.strip().upper(),
        state=state,
        words=figures.words,
        total=Figures(**figures_of(figures.total)),
        villages=[
            VillageFigures(
                code=codes[village.unit_id],
                name=village.name,
                failures=[
                    ProblemOut(row=p.row_id, chat=p.chat_title, state=p.state, error=p.error, reason=_reason(p))
                    for p in village.problems
                ],
                **figures_of(village),
            )
            for village in figures.villages
        ],
    )


def _reason(problem: Problem) -> str:
    return problem.words if problem.was_given else failure(problem.error)


@router.get("/{code}/reach.csv", summary="Như trên, dạng bảng tính", response_class=Response)
async def reach_csv(request: Request, actor: Asking, code: str) -> Response:
    _, _, figures = await runtime(request).store.read(reach_seen, actor, code)
    return csv_answer(code.upper(), csv_rows(figures))


def reach_seen(session: Session, actor: Actor, code: str) -> tuple[NoticeState, dict[int, str], NoticeReach]:
    """State of the notice, codes of the villages by id, and the figures of those that the actor may see."""
    notice = visible_notice(session, actor, code)
    villages = villages_of(session, actor, notice)
    return notice.state, {v.id or 0: v.code for v in villages}, of_notice(session, notice, villages)


def csv_answer(name: str, rows: Sequence[Sequence[str]]) -> Response:
    """A CSV file; the mark at its head lets Excel see that it is UTF-8."""
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return Response(
        out.getvalue().encode("utf-8-sig"),
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": f'attachment; filename="{name}.csv"', "cache-control": "no-store"},
    )


def figures_of(village: VillageReach) -> dict[str, Any]:
    has_register, by_hand = village.households > 0, village.by_hand > 0
    untold = {
        "members": village.members is None,
        "seen": village.seen is None,
        "opens": village.opens is None,
        "households": not has_register,
    }
    return {
        "chats": village.chats,
        "sent": village.sent,
        "given": village.given if by_hand else None,
        "carried": village.carried if by_hand else None,
        "handed": village.handed,
        "failed": village.failed,
        "unknown": village.unknown,
        "members": village.members,
        "seen": village.seen,
        "opens": village.opens,
        "households": village.households if has_register else None,
        "acknowledged_households": village.acknowledged if has_register else None,
        "grades": Grades(card=village.card, number=village.number, head=village.head, visit=village.visit)
        if has_register
        else None,
        "unlinked_accounts": village.unlinked,
        "answers": Answers(join=village.join, absent=village.absent, help=village.help),
        "median_seconds": None if village.median is None else round(village.median.total_seconds()),
        "carried_median_seconds": None
        if village.carried_median is None
        else round(village.carried_median.total_seconds()),
        "told_count": village.told_count,
        "old_texts": list(village.old_texts),
        "not_measurable": [name for name, is_untold in untold.items() if is_untold],
    }
