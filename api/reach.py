"""REST: how far a notice reached. What cannot be told is null and named in `not_measurable`, never 0."""

import csv
import io
from collections.abc import Sequence
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from sqlmodel import Session
from starlette.responses import Response

from api.notices import REFUSALS, Asking
from api.reads import villages_of, visible_notice
from api.state import runtime
from bot.permissions import Actor
from bot.reach import NoticeReach, VillageReach, csv_rows, of_notice
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
    handed: int = Field(description="Đã giao cho người chuyển tay.")
    failed: int
    unknown: int = Field(description="Chưa rõ đã tới chưa.")
    members: int | None = Field(description="Số người trong các nhóm lúc gửi; null là không đo được.")
    seen: int | None = Field(description="Số người đã xem; null là không đo được.")
    households: int | None = Field(description="Số hộ trong sổ; null là chưa có sổ hộ.")
    acknowledged_households: int | None = Field(description="Số hộ đã nắm; null là chưa có sổ hộ.")
    grades: Grades | None
    unlinked_accounts: int = Field(description="Tài khoản đã bấm nhưng chưa gắn hộ.")
    answers: Answers
    median_seconds: int | None = Field(
        description="Nửa số người trả lời đã trả lời trong chừng này giây; null là chưa có."
    )
    not_measurable: list[Literal["members", "seen", "households"]]


class VillageFigures(Figures):
    code: str
    name: str
    failures: list[ProblemOut]


class ReachOut(BaseModel):
    code: str
    state: NoticeState
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
    return ReachOut(
        code=code.upper(),
        state=state,
        total=Figures(**figures_of(figures.total)),
        villages=[
            VillageFigures(
                code=codes[village.unit_id],
                name=village.name,
                failures=[
                    ProblemOut(row=p.row_id, chat=p.chat_title, state=p.state, error=p.error, reason=failure(p.error))
                    for p in village.problems
                ],
                **figures_of(village),
            )
            for village in figures.villages
        ],
    )


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
    has_register = village.households > 0
    untold = {
        "members": village.members is None,
        "seen": village.seen is None,
        "households": not has_register,
    }
    return {
        "chats": village.chats,
        "sent": village.sent,
        "handed": village.handed,
        "failed": village.failed,
        "unknown": village.unknown,
        "members": village.members,
        "seen": village.seen,
        "households": village.households if has_register else None,
        "acknowledged_households": village.acknowledged if has_register else None,
        "grades": Grades(card=village.card, number=village.number, head=village.head, visit=village.visit)
        if has_register
        else None,
        "unlinked_accounts": village.unlinked,
        "answers": Answers(join=village.join, absent=village.absent, help=village.help),
        "median_seconds": None if village.median is None else round(village.median.total_seconds()),
        "not_measurable": [name for name, is_untold in untold.items() if is_untold],
    }
