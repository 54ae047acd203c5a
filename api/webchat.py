"""The web chat: pages and streams of its rooms. A GET changes nothing; a POST needs our own page behind it.

Whoever opens a room gets a cookie instead of an account (`api.residents`).
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from secrets import token_hex
from urllib.parse import quote

from jinja2 import Environment
from sqlmodel import Session
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from adapters.contract import ChatKind
from adapters.text import clean
from api import chat_files, chat_rooms
from api.chat_files import SHOWN
from api.chat_rooms import Place, Visitor, Words
from api.chat_streams import Feed, Watcher
from api.chat_view import fragment, line
from api.residents import (
    UNREADABLE,
    Refusal,
    Resident,
    check_form,
    check_origin,
    check_rate,
    field,
    form_of,
    keep,
    resident,
)
from api.state import runtime
from api.templating import page
from bot.commands import COMMANDS
from bot.errors import Invalid
from scheduler.runtime import Runtime
from store import rooms
from store.crypto import Vault
from store.rooms import Shown

CHANNEL = ("webchat", "main")
CLIENT_ID = re.compile(r"[A-Za-z0-9-]{8,64}")
PAYLOAD = re.compile(r"[A-Za-z0-9_.~-]{1,128}")
NUMBER = re.compile(r"[0-9]{1,15}")

LONGEST_TEXT = 4_000
BESIDE_THE_FILE = 100_000
"""Bytes of a request for all that is not the file."""
MOST_FILES = 4
"""File fields of the page's form; the first that is filled is sent."""
FILE_COST = 5
READ_COST = 0.2
PING = timedelta(seconds=20)
STREAM_LIFE = timedelta(minutes=15)
"""A stream ends then, and the browser opens a new one: nothing hangs for ever."""
RETRY = timedelta(seconds=5)
ANSWER_WITHIN = timedelta(seconds=1.5)
"""How long a form sent without JavaScript waits for the answer, so that the next page already shows it."""

NOT_HERE = "Không có nhóm chat ở địa chỉ này. Hãy xem lại đường dẫn, hoặc chọn thôn trong danh sách."
TOO_LARGE = "Tệp quá lớn. Mỗi tệp gửi lên tối đa 10 MB."
NOTHING_SAID = "Chưa có nội dung. Hãy viết vài chữ hoặc chọn một tệp."
TOO_LONG = "Tin quá dài: tối đa 4.000 chữ cái. Hãy cắt bớt hoặc chia làm hai tin."
NO_BUTTON = "Nút này không còn dùng được. Hãy tải lại trang."
NO_FILE = "Không có tệp này, hoặc tin đã được gỡ."
TOO_MANY_PAGES = "Đang có quá nhiều người xem. Hãy tải lại trang sau ít phút."

PAGE_HEADERS: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "cache-control": "no-store",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}


Act = Callable[["Request", "Visit", FormData], Awaitable[dict[str, object]]]


@dataclass(frozen=True, slots=True)
class Visit:
    """A request with all that it is about."""

    house: Runtime
    who: Visitor
    resident: Resident

    @property
    def place(self) -> Place:
        return self.who.place

    @property
    def form_token(self) -> str:
        return self.resident.form_token


# ---------------------------------------------------------------- pages


async def index(request: Request) -> Response:
    """GET /chat: the villages that have a room."""
    return await _list(request)


async def room(request: Request) -> Response:
    """GET /chat/{code} and /chat/{code}/private."""
    visit = await _visit(request)
    if visit is None:
        return await _list(request, status=404, words=NOT_HERE)
    if visit.place.kind is ChatKind.GROUP and (start := _payload(request, "start")):
        # Such a link means the conversation with us, wherever it was opened.
        return RedirectResponse(f"{visit.place.base}/private?start={quote(start)}", 303)
    return await _page(request, visit)


async def history(request: Request) -> Response:
    """GET …/history?before=: older messages, as JSON with HTML."""
    visit = await _visit(request)
    before = _number(request.query_params.get("before", ""))
    if visit is None or before is None:
        return _refused(404, NOT_HERE)
    shown, _ = await visit.house.store.read(
        _room_now, visit.house.vault, visit.place.chat_id, visit.place.account_id, before
    )
    lines = [_fragment(request, visit, message) for message in shown if message.only_account_id is None]
    notes = [_fragment(request, visit, message) for message in shown if message.only_account_id is not None]
    return JSONResponse({"messages": lines + notes, "more": len(lines) == rooms.PAGE}, headers=PAGE_HEADERS)


async def file(request: Request) -> Response:
    """GET …/files/{id}: the file of a message that this browser may see."""
    visit = await _visit(request)
    message_id = _number(request.path_params["id"])
    if visit is None or visit.place.chat_id is None or message_id is None:
        return _refused(404, NO_FILE)
    found = await visit.house.store.read(
        chat_rooms.file_of, visit.house.vault, visit.place.chat_id, message_id, visit.place.account_id
    )
    if found is None:
        return _refused(404, NO_FILE)
    use, content = found
    is_shown = use.media_type in SHOWN
    name = chat_files.file_name(use.name or "tep")
    return Response(
        content,
        media_type=use.media_type if is_shown or use.media_type == "application/pdf" else chat_files.OCTETS,
        headers={
            "content-disposition": f"{'inline' if is_shown else 'attachment'}; filename*=UTF-8''{quote(name, safe='')}",
            "content-security-policy": "default-src 'none'; sandbox",
            "x-content-type-options": "nosniff",
            "cache-control": "private, max-age=86400",
        },
    )


# ---------------------------------------------------------------- what people do


async def send(request: Request) -> Response:
    """POST …/messages: a resident's words or file, once for each id that the browser gave it."""
    return await _done(request, _send)


async def press(request: Request) -> Response:
    """POST …/press: a button of one of our messages."""
    return await _done(request, _press)


async def join(request: Request) -> Response:
    """POST …/join."""
    return await _done(request, _join)


async def leave(request: Request) -> Response:
    """POST …/leave."""
    return await _done(request, _leave)


async def read(request: Request) -> Response:
    """POST …/read: up to which message the page was on the screen."""
    return await _done(request, _read)


async def _send(request: Request, visit: Visit, form: FormData) -> dict[str, object]:
    said = Words(_client_id(form), clean(field(form, "text")), _number(field(form, "reply_to")), await _file_in(form))
    if not said.text and said.file is None:
        raise Refusal(400, NOTHING_SAID)
    if len(said.text) > LONGEST_TEXT:
        raise Refusal(413, TOO_LONG)
    now = visit.house.clock()
    shown, heard = await visit.house.store.write(chat_rooms.say, visit.who, said, now=now)
    visit.house.nudge_rooms()
    if heard:
        visit.house.nudge_inbox()
    return {"message": _fragment(request, visit, shown, viewer=shown.account_id), "heard": heard}


async def _press(request: Request, visit: Visit, form: FormData) -> dict[str, object]:
    message_id, token = _number(field(form, "message_id")), field(form, "token")
    if message_id is None or not token:
        raise Refusal(400, NO_BUTTON)
    now, press_id = visit.house.clock(), _client_id(form)
    known = await visit.house.store.write(chat_rooms.pressed, visit.who, message_id, token, press_id, now=now)
    if not known:
        raise Refusal(409, NO_BUTTON)
    visit.house.nudge_inbox()
    return {"heard": True}


async def _join(request: Request, visit: Visit, form: FormData) -> dict[str, object]:
    await visit.house.store.write(chat_rooms.enter, visit.who, now=visit.house.clock())
    return {}


async def _leave(request: Request, visit: Visit, form: FormData) -> dict[str, object]:
    await visit.house.store.write(chat_rooms.go, visit.who)
    return {}


async def _read(request: Request, visit: Visit, form: FormData) -> dict[str, object]:
    up_to = _number(field(form, "up_to"))
    if up_to is not None and visit.place.is_member:
        now = visit.house.clock()
        if await visit.house.store.write(chat_rooms.looked, visit.who, up_to, now=now):
            visit.house.nudge_inbox()
    return {}


# ---------------------------------------------------------------- live


async def stream(request: Request) -> Response:
    """GET …/events: what changes from now on (or since `Last-Event-ID`, `?since=`), as server-sent events."""
    visit = await _visit(request)
    if visit is None or visit.place.chat_id is None:
        return Response(status_code=204)  # an EventSource that gets 204 stops asking (WHATWG HTML, 9.2.3)
    told = request.headers.get("last-event-id") or request.query_params.get("since", "")
    watcher = _watcher(request)
    if watcher.is_full:
        return _refused(503, TOO_MANY_PAGES, retry_after=60)
    return StreamingResponse(
        _events(request, visit, watcher, visit.place.chat_id, _number(told)),
        media_type="text/event-stream",
        headers={**PAGE_HEADERS, "x-accel-buffering": "no"},
    )


async def _events(
    request: Request, visit: Visit, watcher: Watcher, chat_id: int, since: int | None
) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    ends = loop.time() + STREAM_LIFE.total_seconds()
    private_id = visit.place.private_id if visit.place.kind is ChatKind.GROUP else None
    members = unread = looked_at = -1
    yield f"retry: {int(RETRY.total_seconds() * 1000)}\n\n"
    async with watcher.watching(*{chat_id, private_id or chat_id}) as changed:
        room = watcher.feed(chat_id)
        private = watcher.feed(private_id) if private_id is not None else None
        if since is None:
            since = (await visit.house.store.read(rooms.versions, [chat_id]))[chat_id]
        while loop.time() < ends:
            changed.clear()
            if changes := await watcher.changes(chat_id, since):
                since = changes[-1].change
                told = [message for shown in changes if (message := _told(request, visit, room, shown))]
                if told:
                    yield f"id: {since}\ndata: {json.dumps({'messages': told}, ensure_ascii=False)}\n\n"
                continue
            if room.is_known and room.members != members:
                members = room.members
                yield f"event: members\ndata: {members}\n\n"
            if private is not None and private.version != looked_at:
                looked_at = private.version
                if (now_unread := await _unread_now(visit, private_id)) != unread:
                    unread = now_unread
                    yield f"event: private\ndata: {unread}\n\n"
            try:
                async with asyncio.timeout(PING.total_seconds()):
                    await changed.wait()
            except TimeoutError:
                yield ": ping\n\n"


async def _unread_now(visit: Visit, private_id: int | None) -> int:
    return await visit.house.store.read(chat_rooms.unread, private_id, visit.place.account_id)


def _told(request: Request, visit: Visit, feed: Feed, shown: Shown) -> dict[str, object] | None:
    """The change as the page's script wants it; None for what is not for this browser."""
    viewer = visit.place.account_id
    if shown.is_deleted:
        return {"id": shown.id, "gone": True}
    if not shown.visible_to(viewer):
        return None
    if shown.only_account_id is not None or (shown.account_id is not None and shown.account_id == viewer):
        return _fragment(request, visit, shown)
    html = feed.html.get(shown.change)
    if html is None:
        html = feed.html[shown.change] = fragment(_jinja(request), shown, None, visit.place.base)
    return {"id": shown.id, "html": html}


# ---------------------------------------------------------------- inside


async def _done(request: Request, act: Act) -> Response:
    """Check who asks and how often, then do it; answer the page's script in JSON, a plain form with the page."""
    visit, form = None, FormData()
    try:
        check_origin(request)
        _check_size(request)
        check_rate(request, _cost(request, act))
        visit = await _visit(request)
        if visit is None:
            raise Refusal(404, NOT_HERE)
        form = await form_of(request, files=MOST_FILES)
        check_form(visit.resident, request.headers.get("x-loa-token") or field(form, "form_token"))
        result = await act(request, visit, form)
        if _wants_json(request):
            return JSONResponse(result, headers=PAGE_HEADERS)
        if result.get("heard"):
            await _answered(request, visit)
        return RedirectResponse(f"{visit.place.base}#cuoi", 303)
    except Refusal as refusal:
        if _wants_json(request) or visit is None:
            return _refused(refusal.status, refusal.words, retry_after=refusal.retry_after)
        answer = await _page(request, visit, status=refusal.status, error=refusal.words, typed=field(form, "text"))
        if refusal.retry_after:
            answer.headers["retry-after"] = str(refusal.retry_after)
        return answer
    finally:
        await form.close()


def _check_size(request: Request) -> None:
    told = request.headers.get("content-length", "")
    if not NUMBER.fullmatch(told):
        raise Refusal(411, UNREADABLE)
    if int(told) > chat_files.MOST_BYTES + BESIDE_THE_FILE:
        raise Refusal(413, TOO_LARGE)


def _cost(request: Request, act: Act) -> float:
    if act is _read:
        return READ_COST
    return FILE_COST if int(request.headers["content-length"]) > BESIDE_THE_FILE else 1


async def _file_in(form: FormData) -> chat_files.Sent | None:
    """The first file that was really chosen."""
    for value in form.getlist("file"):
        if isinstance(value, UploadFile) and value.filename:
            if (value.size or 0) > chat_files.MOST_BYTES:
                raise Refusal(413, TOO_LARGE)
            if content := await value.read():
                try:
                    return chat_files.read(content, value.filename, value.content_type or "")
                except Invalid as error:
                    raise Refusal(415, error.words) from error
    return None


async def _visit(request: Request) -> Visit | None:
    """Who asks, and for which room. None: there is no such room."""
    house = runtime(request)
    channel = house.channels.get(CHANNEL)
    if channel is None:
        return None
    who = resident(request)
    is_private = request.scope["path"].split("/")[3:4] == ["private"]
    kind = ChatKind.PRIVATE if is_private else ChatKind.GROUP
    code = request.path_params["code"]
    place = await house.store.read(chat_rooms.look, house.vault, channel.id, code, kind, who.sender_id)
    return Visit(house, Visitor(house.vault, channel, place, who.sender_id), who) if place else None


async def _page(request: Request, visit: Visit, *, status: int = 200, error: str = "", typed: str = "") -> Response:
    place = visit.place
    before = _number(request.query_params.get("before", ""))
    shown, version = await visit.house.store.read(_room_now, visit.house.vault, place.chat_id, place.account_id, before)
    lines = [line(message, place.account_id) for message in shown]
    answered = next((m for m in lines if str(m.id) == request.query_params.get("reply")), None)
    response = page(
        request,
        "chat.html",
        status=status,
        place=place,
        lines=[m for m in lines if m.look != "note"],
        notes={m.reply_to: m for m in lines if m.look == "note"},
        more=sum(m.look != "note" for m in lines) == rooms.PAGE,
        is_old=before is not None,
        version=version,
        error=error,
        typed=typed,
        answered=answered,
        start=_payload(request, "start" if place.kind is ChatKind.PRIVATE else "startgroup"),
        commands=[c for c in COMMANDS if c.audience is ChatKind.PRIVATE] if place.kind is ChatKind.PRIVATE else [],
        form_token=visit.form_token,
        new_id=lambda: token_hex(8),
        base=place.base,
        longest=LONGEST_TEXT,
    )
    response.headers.update(PAGE_HEADERS)
    keep(response, request, visit.resident)
    return response


async def _list(request: Request, *, status: int = 200, words: str = "") -> Response:
    house = runtime(request)
    channel = house.channels.get(CHANNEL)
    groups = await house.store.read(rooms.groups, channel.id) if channel else []
    if _wants_json(request):
        return _refused(404, words or NOT_HERE)
    wanted = next(((name, payload) for name in ("start", "startgroup") if (payload := _payload(request, name))), None)
    query = f"?{wanted[0]}={quote(wanted[1])}" if wanted else ""
    response = page(request, "chat_list.html", status=status, groups=groups, words=words, query=query)
    response.headers.update(PAGE_HEADERS)
    return response


def _room_now(
    session: Session, vault: Vault, chat_id: int | None, viewer: int | None, before: int | None
) -> tuple[list[Shown], int]:
    """A page of the room and the change that it stands at, from one view of the database."""
    if chat_id is None:
        return [], 0
    return rooms.history(session, vault, chat_id, viewer, before=before), rooms.versions(session, [chat_id])[chat_id]


async def _answered(request: Request, visit: Visit) -> None:
    """Wait a moment until something new is in the room."""
    who = visit.who
    place = await visit.house.store.read(
        chat_rooms.look, who.vault, who.channel.id, who.place.code, who.place.kind, who.sender_id
    )
    if place is None or place.chat_id is None:
        return
    watcher = _watcher(request)
    async with watcher.watching(place.chat_id) as changed:
        before = (await visit.house.store.read(rooms.versions, [place.chat_id]))[place.chat_id]
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_WITHIN.total_seconds()):
                while not await watcher.changes(place.chat_id, before):
                    changed.clear()
                    await changed.wait()


def _refused(status: int, words: str, *, retry_after: int = 0) -> Response:
    headers = {**PAGE_HEADERS, **({"retry-after": str(retry_after)} if retry_after else {})}
    return JSONResponse({"error": words}, status, headers=headers)


def _fragment(request: Request, visit: Visit, shown: Shown, *, viewer: int | None = None) -> dict[str, object]:
    html = fragment(_jinja(request), shown, viewer or visit.place.account_id, visit.place.base)
    return {"id": shown.id, "html": html}


def _client_id(form: FormData) -> str:
    """The browser's own id of what it sends; a fresh one when it has none."""
    told = field(form, "id")
    return told if CLIENT_ID.fullmatch(told) else token_hex(8)


def _number(text: str) -> int | None:
    return int(text) if NUMBER.fullmatch(text) else None


def _payload(request: Request, name: str) -> str:
    told = request.query_params.get(name, "")
    return told if PAYLOAD.fullmatch(told) else ""


def _wants_json(request: Request) -> bool:
    return "application/json" in request.headers.get("accept", "")


def _jinja(request: Request) -> Environment:
    jinja: Environment = request.app.state.jinja
    return jinja


def _watcher(request: Request) -> Watcher:
    """The one of this app, made when the first page wants it."""
    state = request.app.state
    if not hasattr(state, "webchat_watcher"):
        state.webchat_watcher = Watcher(runtime(request))
    watcher: Watcher = state.webchat_watcher
    return watcher


def _room_routes(base: str) -> list[Route]:
    return [
        Route(base, room, methods=["GET"]),
        Route(f"{base}/history", history, methods=["GET"]),
        Route(f"{base}/events", stream, methods=["GET"]),
        Route(f"{base}/files/{{id}}", file, methods=["GET"]),
        Route(f"{base}/messages", send, methods=["POST"]),
        Route(f"{base}/press", press, methods=["POST"]),
        Route(f"{base}/join", join, methods=["POST"]),
        Route(f"{base}/leave", leave, methods=["POST"]),
        Route(f"{base}/read", read, methods=["POST"]),
    ]


routes = [Route("/chat", index, methods=["GET"]), *_room_routes("/chat/{code}/private"), *_room_routes("/chat/{code}")]
