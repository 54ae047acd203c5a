"""REST: write and read notices. The document is at /api/docs."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlmodel import Session, select

from api.auth import bearer
from api.reads import notice_lines, villages_of, visible_notice
from api.state import runtime
from bot import audiences, corrections, notices, unknowns
from bot.errors import Invalid, NotFound
from bot.house import House
from bot.notices import NewNotice
from bot.permissions import Actor, Duty, issuers_for, village_for, villages_for
from store.tables import Audience, Notice, NoticeKind, NoticeState, Unit, Wanted

PAGE = 50

Asking = Annotated[Actor, Depends(bearer)]


class VillageRef(BaseModel):
    code: str
    name: str


class NoticeIn(BaseModel):
    """A notice to be sent."""

    model_config = ConfigDict(extra="forbid")

    body: str = Field(
        min_length=1, max_length=notices.LONGEST, description="Toàn văn thông báo, chữ thường không định dạng."
    )
    villages: list[str] | Literal["all"] = Field(description='Mã các thôn, bản nhận; "all" là mọi thôn, bản của bạn.')
    kind: NoticeKind = NoticeKind.NOTICE
    urgent: bool = Field(default=False, description="Tin khẩn: gửi trước, có thể phải có người thứ hai duyệt.")
    answers: Wanted = Field(default=Wanted.ACKNOWLEDGE, description="Câu trả lời mong ở bà con.")
    issuer: str | None = Field(
        default=None, description="Tên cơ quan ra thông báo; bỏ trống là cơ quan đầu tiên của bạn."
    )
    due_at: AwareDatetime | None = Field(default=None, description="Hạn, kèm múi giờ.")
    audience: str | None = Field(
        default=None, description="Tên nhóm người nhận riêng (chi hội, chi bộ…); bỏ trống là cả bản."
    )


class NoticeOut(BaseModel):
    code: str
    state: NoticeState
    kind: NoticeKind
    urgent: bool
    answers: Wanted
    issuer: str
    audience: str | None = Field(description="Nhóm người nhận riêng; null là cả bản.")
    body: str
    revision: int = Field(description="Lần sửa lời thứ mấy; 1 là lời đầu, mỗi lần đính chính hay thu hồi thêm 1.")
    villages: list[VillageRef] = Field(description="Chỉ những thôn, bản mà bạn được xem.")
    url: str | None = Field(description="Trang công khai của thông báo; null khi không có địa chỉ công khai.")
    created_at: datetime
    published_at: datetime | None
    due_at: datetime | None
    return_reason: str | None


class NoticeRow(BaseModel):
    code: str
    state: NoticeState
    kind: NoticeKind
    urgent: bool
    issuer: str
    title: str
    created_at: datetime
    published_at: datetime | None


class NoticePage(BaseModel):
    notices: list[NoticeRow]
    next: int | None = Field(description="Đưa lại trong `before` để lấy trang sau; null là hết.")


ResendState = Literal["failed", "unknown"]


class Resend(BaseModel):
    model_config = ConfigDict(extra="forbid")
    states: set[ResendState] = Field(min_length=1)


class Resent(BaseModel):
    code: str
    resent: int = Field(description="Số lần gửi được xếp lại.")


class Seen(BaseModel):
    model_config = ConfigDict(extra="forbid")
    arrived: bool = Field(description="Đã thấy tin trong nhóm.")


class Reason(BaseModel):
    model_config = ConfigDict(extra="forbid")
    reason: str = Field(min_length=1, max_length=1000)


class Correction(BaseModel):
    model_config = ConfigDict(extra="forbid")
    body: str = Field(min_length=1, max_length=notices.LONGEST, description="Toàn văn mới, thay hẳn lời cũ.")
    revision: int | None = Field(
        default=None,
        ge=1,
        description="`revision` của lời mà bạn đang sửa; có thì không sửa đè lên lời đính chính của người khác (409).",
    )


class Recall(BaseModel):
    model_config = ConfigDict(extra="forbid")
    reason: str = Field(min_length=1, max_length=corrections.LONGEST_REASON, description="Bà con đọc được lý do này.")


class Refusal(BaseModel):
    code: str
    message: str
    field: str | None = None


class RefusalOut(BaseModel):
    error: Refusal


REFUSALS: dict[int | str, dict[str, object]] = {
    401: {"model": RefusalOut, "description": "Thiếu hoặc sai mã truy cập"},
    404: {"model": RefusalOut, "description": "Không có, hoặc không thuộc địa bàn của bạn"},
    409: {
        "model": RefusalOut,
        "description": "Người khác đã làm trước, hoặc khoá Idempotency-Key đã dùng cho nội dung khác",
    },
    422: {"model": RefusalOut, "description": "Dữ liệu chưa đúng"},
}

router = APIRouter(prefix="/api/v1/notices", tags=["Thông báo"], responses=REFUSALS)


@router.post("", status_code=201, summary="Gửi một thông báo")
async def create(
    request: Request,
    response: Response,
    wanted: NoticeIn,
    actor: Asking,
    idempotency_key: Annotated[str, Header(min_length=1, max_length=200)],
) -> NoticeOut:
    """Phát ngay, hoặc chuyển chờ duyệt khi quy định cần người thứ hai.

    Gọi lại với cùng `Idempotency-Key` và cùng nội dung thì nhận lại đúng thông báo đó (200), không gửi lần nữa.
    """
    house = runtime(request)
    new, shown = await house.store.write(_create, house.house, actor, wanted, idempotency_key, house.clock())
    if new:
        house.nudge_sender()
    else:
        response.status_code = 200
    return shown


def _create(
    session: Session, house: House, actor: Actor, wanted: NoticeIn, key: str, now: datetime
) -> tuple[bool, NoticeOut]:
    known = select(Notice.id).where(Notice.author_id == actor.person_id, Notice.idempotency_key == key)
    is_new = session.exec(known).first() is None
    unit_ids = _units(session, actor, wanted.villages)
    new = NewNotice(
        body=wanted.body,
        unit_ids=unit_ids,
        audience_id=_audience(session, actor, wanted.audience, unit_ids),
        issuer_id=_issuer(session, actor, wanted.issuer),
        kind=wanted.kind,
        is_urgent=wanted.urgent,
        wanted=wanted.answers,
        due_at=wanted.due_at,
    )
    notice = notices.draft(session, house, actor, new, now=now, origin="api", idempotency_key=key)
    if is_new:
        notices.submit(session, house, actor, notice, now=now)
    return is_new, shown(session, house, actor, notice)


def _units(session: Session, actor: Actor, villages: list[str] | Literal["all"]) -> tuple[int, ...]:
    if villages == "all":
        return tuple(village.id or 0 for village in villages_for(session, actor, Duty.BROADCAST))
    found = []
    for code in villages:
        try:
            found.append(village_for(session, actor, code, Duty.BROADCAST).id or 0)
        except NotFound as error:
            raise Invalid(f"Không có thôn, bản nào mang mã {code} trong địa bàn của bạn.", "villages") from error
    return tuple(dict.fromkeys(found))


def _audience(session: Session, actor: Actor, name: str | None, unit_ids: Iterable[int]) -> int | None:
    if name is None:
        return None
    return audiences.named(session, actor, name, [session.get_one(Unit, unit_id) for unit_id in unit_ids]).id


def _issuer(session: Session, actor: Actor, name: str | None) -> int | None:
    if name is None:
        return None
    issuers = issuers_for(session, actor)
    found = next((issuer.id for issuer in issuers if issuer.name == name), None)
    if found is None:
        known = "; ".join(issuer.name for issuer in issuers) or "chưa có"
        raise Invalid(f"Bạn không gửi thay cơ quan này được. Các cơ quan của bạn: {known}.", "issuer")
    return found


@router.get("", summary="Các thông báo bạn được xem, mới nhất trước")
async def listed(
    request: Request,
    actor: Asking,
    state: NoticeState | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = PAGE,
    before: Annotated[int | None, Query(ge=1)] = None,
) -> NoticePage:
    states = tuple(NoticeState) if state is None else (state,)
    lines = await runtime(request).store.read(notice_lines, actor, states=states, limit=limit + 1, before=before)
    rows = [
        NoticeRow(
            code=line.code,
            state=line.state,
            kind=line.kind,
            urgent=line.is_urgent,
            issuer=line.issuer,
            title=line.title,
            created_at=line.created_at,
            published_at=line.published_at,
        )
        for line in lines[:limit]
    ]
    return NoticePage(notices=rows, next=lines[limit - 1].id if len(lines) > limit else None)


@router.get("/{code}", summary="Một thông báo")
async def read(request: Request, actor: Asking, code: str) -> NoticeOut:
    house = runtime(request)
    return await house.store.read(_read, house.house, actor, code)


def _read(session: Session, house: House, actor: Actor, code: str) -> NoticeOut:
    return shown(session, house, actor, visible_notice(session, actor, code))


@router.post("/{code}/approve", summary="Duyệt và phát một thông báo đang chờ")
async def approve(request: Request, actor: Asking, code: str) -> NoticeOut:
    house = runtime(request)
    answer = await house.store.write(_approve, house.house, actor, code, house.clock())
    house.nudge_sender()
    return answer


def _approve(session: Session, house: House, actor: Actor, code: str, now: datetime) -> NoticeOut:
    notice = visible_notice(session, actor, code)
    notices.approve(session, house, actor, notice, now=now)
    return shown(session, house, actor, notice)


@router.post("/{code}/return", summary="Trả lại một thông báo đang chờ duyệt, kèm lý do")
async def send_back(request: Request, actor: Asking, code: str, wanted: Reason) -> NoticeOut:
    house = runtime(request)
    answer = await house.store.write(_send_back, house.house, actor, code, wanted.reason, house.clock())
    house.nudge_sender()
    return answer


def _send_back(session: Session, house: House, actor: Actor, code: str, reason: str, now: datetime) -> NoticeOut:
    notice = visible_notice(session, actor, code)
    notices.send_back(session, house, actor, notice, reason, now=now)
    return shown(session, house, actor, notice)


@router.post("/{code}/cancel", summary="Bỏ bản nháp, hoặc dừng những nhóm chưa gửi")
async def cancel(request: Request, actor: Asking, code: str) -> NoticeOut:
    house = runtime(request)
    answer = await house.store.write(_cancel, house.house, actor, code, house.clock())
    house.nudge_sender()
    return answer


def _cancel(session: Session, house: House, actor: Actor, code: str, now: datetime) -> NoticeOut:
    notice = visible_notice(session, actor, code)
    notices.cancel(session, house, actor, notice, now=now)
    return shown(session, house, actor, notice)


@router.post("/{code}/correct", summary="Đính chính một thông báo đã phát")
async def correct(request: Request, actor: Asking, code: str, wanted: Correction) -> NoticeOut:
    """Sửa tại chỗ, gửi tin mới, hoặc giao người chuyển tay tin sửa, tuỳ từng nhóm. Hộ đã nắm vẫn được ghi.

    Gọi lại với cùng `body` thì không có gì xảy ra nữa.
    """
    house = runtime(request)
    answer = await house.store.write(_correct, house.house, actor, code, wanted, house.clock())
    house.nudge_sender()
    return answer


def _correct(session: Session, house: House, actor: Actor, code: str, wanted: Correction, now: datetime) -> NoticeOut:
    notice = visible_notice(session, actor, code)
    corrections.correct(session, house, actor, notice, wanted.body, now=now, seen=wanted.revision)
    return shown(session, house, actor, notice)


@router.post("/{code}/recall", summary="Thu hồi một thông báo đã phát, kèm lý do")
async def recall(request: Request, actor: Asking, code: str, wanted: Recall) -> NoticeOut:
    """Xoá tin nơi xoá được, báo thu hồi ở những nơi còn lại. Gọi lại thì không có gì xảy ra nữa."""
    house = runtime(request)
    answer = await house.store.write(_recall, house.house, actor, code, wanted.reason, house.clock())
    house.nudge_sender()
    return answer


def _recall(session: Session, house: House, actor: Actor, code: str, reason: str, now: datetime) -> NoticeOut:
    notice = visible_notice(session, actor, code)
    corrections.recall(session, house, actor, notice, reason, now=now)
    return shown(session, house, actor, notice)


@router.post("/{code}/resend", summary="Gửi lại chỗ chưa gửi được hoặc chưa rõ đã tới chưa")
async def resend(request: Request, actor: Asking, code: str, wanted: Resend) -> Resent:
    """Chỗ "chưa rõ" có thể đã tới: gửi lại thì nhóm có thể thấy hai lần."""
    house = runtime(request)
    count = await house.store.write(_resend, actor, code, wanted.states, house.clock())
    house.nudge_sender()
    return Resent(code=code.upper(), resent=count)


def _resend(session: Session, actor: Actor, code: str, states: Iterable[ResendState], now: datetime) -> int:
    return notices.resend(session, actor, visible_notice(session, actor, code), states, now=now)


@router.post("/{code}/unknown/{row}", status_code=204, summary="Ghi chỗ chưa rõ là đã tới hay không tới")
async def settle(request: Request, actor: Asking, code: str, row: int, wanted: Seen) -> None:
    """Sau khi đã mở nhóm xem tin có ở đó không. `row` lấy trong `failures` của `/reach`."""
    house = runtime(request)
    await house.store.write(_settle, actor, code, row, wanted.arrived, house.clock())
    house.nudge_sender()


def _settle(session: Session, actor: Actor, code: str, row: int, arrived: bool, now: datetime) -> None:
    unknowns.settle(session, actor, visible_notice(session, actor, code), row, arrived, now)


def shown(session: Session, house: House, actor: Actor, notice: Notice) -> NoticeOut:
    """The notice as REST tells it, with the villages that the actor may see."""
    return NoticeOut(
        code=notice.code,
        state=notice.state,
        kind=notice.kind,
        urgent=notice.is_urgent,
        answers=notice.wanted,
        issuer=notice.issuer_name,
        audience=session.get_one(Audience, notice.audience_id).name if notice.audience_id is not None else None,
        body=notices.body_of(session, notice),
        revision=notice.revision,
        villages=[VillageRef(code=v.code, name=v.name) for v in villages_of(session, actor, notice)],
        url=f"{house.public_url}/tb/{notice.code}" if house.public_url else None,
        created_at=notice.created_at,
        published_at=notice.published_at,
        due_at=notice.due_at,
        return_reason=notice.return_reason or None,
    )
