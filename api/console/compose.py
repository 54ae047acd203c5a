"""Writing a notice. The form keeps a draft; its page then shows it exactly as it will be posted, to be confirmed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from secrets import token_urlsafe

from sqlmodel import Session
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from api.auth import form_of, me, signed_in
from api.reads import VillageLine, village_lines, visible_notice
from api.state import runtime
from api.templating import local_input, of_local_input, page
from api.uploads import files_of
from bot import audiences, notices
from bot.errors import Conflict, Invalid, NotAllowed, NotFound
from bot.house import House
from bot.notices import LONGEST, MOST_FILES, NewFile, NewNotice, targets_of
from bot.permissions import NOT_FOUND, Actor, Duty, issuers_for, villages_for
from bot.texts import LANGUAGES
from store.tables import Issuer, NoticeKind, NoticeState, Unit, Wanted

FILE_FIELDS = ("photos", "documents", "voice")


@dataclass(frozen=True, slots=True)
class Filled:
    """What stands in the form."""

    key: str
    body: str = ""
    kind: str = NoticeKind.NOTICE
    wanted: str = Wanted.ACKNOWLEDGE
    issuer: str = ""
    audience: str = ""
    """'': everybody in the villages."""
    is_urgent: bool = False
    to: str = "all"
    villages: frozenset[int] = frozenset()
    due: str = ""
    language: str = "vi"
    replaces: str = ""
    """Code of the draft that this one is written in the place of."""


@dataclass(frozen=True, slots=True)
class Choices:
    villages: tuple[VillageLine, ...]
    issuers: tuple[Issuer, ...]
    audiences: tuple[tuple[int, str, str], ...]
    """(id, name, place)"""
    earlier: "Filled | None" = field(default=None)


@signed_in
async def empty(request: Request) -> Response:
    """GET /console/notices/new, with ?from= of a draft to write it anew."""
    house = runtime(request)
    choices = await house.store.read(_choices, house.house, me(request), request.query_params.get("from", ""))
    if not choices.villages or not choices.issuers:
        raise NotAllowed("Bạn chưa được giao thôn, bản nào để gửi thông báo. Hãy hỏi quản trị của xã.")
    return _form(request, choices, choices.earlier or Filled(token_urlsafe(12)))


def _choices(session: Session, house: House, actor: Actor, replaces: str) -> Choices:
    villages = villages_for(session, actor, Duty.BROADCAST)
    lines, issuers = tuple(village_lines(session, villages)), tuple(issuers_for(session, actor))
    others = tuple((found.id or 0, found.name, unit.name) for found, unit in audiences.writable(session, actor))
    if not replaces:
        return Choices(lines, issuers, others)
    notice = visible_notice(session, actor, replaces)
    if notice.author_id != actor.person_id or notice.state not in (NoticeState.DRAFT, NoticeState.RETURNED):
        raise NotFound(NOT_FOUND)
    chosen = frozenset(unit.id or 0 for unit in targets_of(session, notice))
    earlier = Filled(
        key=token_urlsafe(12),
        body=notices.body_of(session, notice),
        kind=notice.kind,
        wanted=notice.wanted,
        issuer=str(notice.issuer_id),
        audience=str(notice.audience_id or ""),
        is_urgent=notice.is_urgent,
        to="all" if chosen == {v.id for v in villages} else "some",
        villages=chosen,
        due=local_input(notice.due_at, house.zone),
        replaces=notice.code,
    )
    return Choices(lines, issuers, others, earlier)


def _form(request: Request, choices: Choices, filled: Filled, *, error: Invalid | None = None) -> Response:
    return page(
        request,
        "console/compose.html",
        status=422 if error else 200,
        choices=choices,
        filled=filled,
        error=error,
        languages=LANGUAGES,
        longest=LONGEST,
        most_files=MOST_FILES,
        kinds=list(NoticeKind),
        wanteds=list(Wanted),
    )


@signed_in
async def keep(request: Request) -> Response:
    """POST /console/notices/new: a draft. The same form sent twice is one draft."""
    form = await form_of(request, max_files=MOST_FILES + len(FILE_FIELDS))
    house = runtime(request)
    filled = _filled(form)
    try:
        files = [file for name in FILE_FIELDS for file in await files_of(form, name, language=filled.language)]
        due_at = _due(filled, house.house)
        code = await house.store.write(_keep, house.house, me(request), filled, due_at, tuple(files), house.clock())
    except Invalid as error:
        choices = await house.store.read(_choices, house.house, me(request), "")
        return _form(request, choices, filled, error=error)
    return RedirectResponse(f"/console/notices/{code}", 303)


def _filled(form: FormData) -> Filled:
    def text(name: str) -> str:
        value = form.get(name, "")
        return value if isinstance(value, str) else ""

    return Filled(
        key=text("key")[:40],
        body=text("body"),
        kind=text("kind"),
        wanted=text("wanted"),
        issuer=text("issuer"),
        audience=text("audience"),
        is_urgent=bool(text("urgent")),
        to="some" if text("to") == "some" else "all",
        villages=frozenset(
            int(v) for v in form.getlist("villages") if isinstance(v, str) and v.isdecimal() and len(v) < 18
        ),
        due=text("due"),
        language=text("language")[:8],
        replaces=text("replaces")[:20],
    )


def _due(filled: Filled, house: House) -> datetime | None:
    try:
        return of_local_input(filled.due, house.zone)
    except ValueError as error:
        raise Invalid("Chưa đọc được ngày giờ hạn.", "due_at") from error


def _keep(
    session: Session,
    house: House,
    actor: Actor,
    filled: Filled,
    due_at: datetime | None,
    files: tuple[NewFile, ...],
    now: datetime,
) -> str:
    if filled.kind not in set(NoticeKind) or filled.wanted not in set(Wanted):
        raise Invalid("Chưa chọn loại tin.", "kind")
    mine: Mapping[int, Unit] = {v.id or 0: v for v in villages_for(session, actor, Duty.BROADCAST)}
    new = NewNotice(
        body=filled.body,
        unit_ids=tuple(mine) if filled.to == "all" else tuple(sorted(filled.villages)),
        issuer_id=_chosen(filled.issuer),
        audience_id=_chosen(filled.audience),
        kind=NoticeKind(filled.kind),
        is_urgent=filled.is_urgent,
        wanted=Wanted(filled.wanted),
        due_at=due_at,
        files=files,
    )
    # Of the form and of what it says: a second press gives the same draft, going back and changing a word another one.
    said = repr((filled, [(f.name, f.language, sha256(f.content).hexdigest()) for f in files]))
    key = f"form:{filled.key}:{sha256(said.encode(errors='replace')).hexdigest()[:24]}"
    notice = notices.draft(session, house, actor, new, now=now, origin="console", idempotency_key=key)
    if filled.replaces and filled.replaces != notice.code:
        _drop(session, house, actor, filled.replaces, now)
    return notice.code


def _chosen(value: str) -> int | None:
    return int(value) if value.isdecimal() and len(value) < 18 else None


def _drop(session: Session, house: House, actor: Actor, code: str, now: datetime) -> None:
    """The draft that was written anew goes, unless somebody has sent it meanwhile."""
    old = visible_notice(session, actor, code)
    if old.author_id == actor.person_id and old.state in (NoticeState.DRAFT, NoticeState.RETURNED):
        notices.cancel(session, house, actor, old, now=now)
    elif old.state is not NoticeState.CANCELLED:
        raise Conflict("Bản cũ của thông báo này vừa được gửi đi. Hãy xem lại ở mục Thông báo.")


routes = [
    Route("/console/notices/new", empty, methods=["GET"]),
    Route("/console/notices/new", keep, methods=["POST"]),
]
