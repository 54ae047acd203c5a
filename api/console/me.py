"""My own account: password, where I am signed in, linked chats, bearer tokens."""

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from api.auth import WRONG, SignedIn, form_of, new_token, sign_in, signed_in
from api.auth import Refusal as SignInRefusal
from api.state import passwords, runtime
from api.templating import page
from bot import people
from bot.house import House
from store import audit, sessions
from store.crypto import Vault
from store.tables import Account, ApiToken, Channel, Person, WebSession

NAME = 60


@dataclass(frozen=True, slots=True)
class Mine:
    person: Person
    chats: tuple[tuple[str, datetime], ...]
    """(messenger, since when)"""
    sessions: tuple[WebSession, ...]
    tokens: tuple[ApiToken, ...]


@signed_in
async def show(request: Request) -> Response:
    """GET /console/me"""
    return await _page(request)


async def _page(request: Request, *, status: int = 200, **shown: str) -> Response:
    house = runtime(request)
    found = await house.store.read(_mine, request.state.me, house.clock())
    shown = {"code": "", "token": "", "error": "", "done": "", **shown}
    return page(request, "console/me.html", status=status, m=found, **shown)


def _mine(session: Session, me: SignedIn, now: datetime) -> Mine:
    person_id = me.actor.person_id
    chats = session.exec(
        select(Channel.adapter, Account.created_at)
        .join(Channel, col(Channel.id) == Account.channel_id)
        .where(Account.person_id == person_id)
        .order_by(col(Account.id))
    ).all()
    return Mine(
        session.get_one(Person, person_id),
        tuple((adapter, at) for adapter, at in chats),
        tuple(sessions.sessions_of(session, person_id, now=now)),
        tuple(sessions.tokens_of(session, person_id)),
    )


@signed_in
async def link_code(request: Request) -> Response:
    """POST /console/me/link-code: shown once."""
    await form_of(request)
    house = runtime(request)
    code = await house.store.write(_link_code, house.house, request.state.me.actor.person_id, house.clock())
    return await _page(request, code=code)


def _link_code(session: Session, house: House, person_id: int, now: datetime) -> str:
    audit.note(
        session, at=now, person_id=person_id, unit_id=None, action="link code made", subject=f"person:{person_id}"
    )
    return people.new_link_code(session, house, session.get_one(Person, person_id), now=now)


@signed_in
async def end_session(request: Request) -> Response:
    """POST /console/me/sessions/{id}/end"""
    await form_of(request)
    person_id = request.state.me.actor.person_id
    await runtime(request).store.write(sessions.end_session, request.path_params["id"], person_id)
    return RedirectResponse("/console/me", 303)


@signed_in
async def make_token(request: Request) -> Response:
    """POST /console/me/tokens: shown once."""
    form = await form_of(request)
    name = str(form.get("name", "")).strip()[:NAME]
    if not name:
        return await _page(request, status=422, error="Chưa đặt tên cho mã truy cập.")
    house = runtime(request)
    person_id = request.state.me.actor.person_id
    token = await house.store.write(_make_token, house.vault, person_id, name, house.clock())
    return await _page(request, token=token)


def _make_token(session: Session, vault: Vault, person_id: int, name: str, now: datetime) -> str:
    token, _ = new_token(session, vault, person_id, name, now=now)
    audit.note(session, at=now, person_id=person_id, unit_id=None, action="token made")
    return token


@signed_in
async def revoke_token(request: Request) -> Response:
    """POST /console/me/tokens/{id}/revoke"""
    await form_of(request)
    house = runtime(request)
    person_id = request.state.me.actor.person_id
    await house.store.write(sessions.revoke_token, request.path_params["id"], person_id, now=house.clock())
    return RedirectResponse("/console/me", 303)


@signed_in
async def change_password(request: Request) -> Response:
    """POST /console/me/password: every other sign-in ends."""
    form = await form_of(request)
    house = runtime(request)
    me: SignedIn = request.state.me
    person = (await house.store.read(_mine, me, house.clock())).person
    old, new, again = (str(form.get(field, ""))[:200] for field in ("old", "new", "again"))
    if new != again:
        return await _page(request, status=422, error="Hai lần gõ mật khẩu mới không giống nhau.")
    try:
        password_hash = await passwords(request).hashed(new)
    except ValueError as error:
        return await _page(request, status=422, error=str(error))
    # The same gate as signing in: whoever found an open console may not guess the password here without end.
    outcome = await sign_in(request, person.username or "", old)
    if isinstance(outcome, SignInRefusal):
        words = "Mật khẩu đang dùng chưa đúng." if outcome is WRONG else outcome.words
        return await _page(request, status=422, error=words)
    await house.store.write(_change_password, me, password_hash, house.clock())
    return await _page(request, done="Đã đổi mật khẩu. Những nơi khác đang đăng nhập đã bị đăng xuất.")


def _change_password(session: Session, me: SignedIn, password_hash: str, now: datetime) -> None:
    person = session.get_one(Person, me.actor.person_id)
    person.password_hash = password_hash
    session.add(person)
    sessions.end_sessions(session, me.actor.person_id, but=me.session_id)
    audit.note(session, at=now, person_id=me.actor.person_id, unit_id=None, action="password changed")


routes = [
    Route("/console/me", show),
    Route("/console/me/link-code", link_code, methods=["POST"]),
    Route("/console/me/sessions/{id:int}/end", end_session, methods=["POST"]),
    Route("/console/me/tokens", make_token, methods=["POST"]),
    Route("/console/me/tokens/{id:int}/revoke", revoke_token, methods=["POST"]),
    Route("/console/me/password", change_password, methods=["POST"]),
]
