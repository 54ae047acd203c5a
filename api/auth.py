"""Who is asking: the sign-in cookies of the console and of linked phones with their CSRF tokens, and bearer tokens."""

import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import wraps
from math import ceil
from secrets import token_urlsafe

from sqlmodel import Session, select
from starlette.datastructures import FormData
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from api.errors import FormTooOld, SignInNeeded, TokenWanted
from api.state import address_of, passwords, runtime
from bot.permissions import Actor, Duty, actor_of
from store import attempts, sessions
from store.crypto import Vault
from store.tables import ApiToken, Person, RoleName

COOKIE = "loa_session"
PHONE = "loa_truong"
"""Of a phone that was linked by a one-time code: it opens /truong and nothing of the console."""
VISIT = "loa_visit"
"""Before sign-in there is no session that a form could be bound to: this cookie stands in for it."""

ALLOWED_HERE = 5
"""Wrong tries for one name from one address."""
ALLOWED = 60
"""Wrong tries from one address, whatever the name, because mobile networks put many people behind one; and for one
name, whatever the address: high, because it also locks the person out."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """The person at the console, as of this request."""

    actor: Actor
    session_id: int
    csrf: str
    is_phone: bool = False
    """By a linked phone, not by name and password at the console."""

    @property
    def may_write(self) -> bool:
        return bool(self.actor.paths(Duty.BROADCAST))

    @property
    def sees_people(self) -> bool:
        return bool(self.actor.paths(Duty.MANAGE) or self.actor.paths(Duty.APPROVE))

    @property
    def is_admin(self) -> bool:
        return self.actor.has(RoleName.ADMIN)


@dataclass(frozen=True, slots=True)
class Welcome:
    """The right name and password; `cookie` opens the console."""

    cookie: str


@dataclass(frozen=True, slots=True)
class Refusal:
    words: str


WRONG = Refusal("Tên đăng nhập hoặc mật khẩu chưa đúng.")

Endpoint = Callable[[Request], Awaitable[Response]]


# ---------------------------------------------------------------- the console


def signed_in(endpoint: Endpoint) -> Endpoint:
    """For pages of the console: `request.state.me` is who asks. Raises SignInNeeded."""

    @wraps(endpoint)
    async def guarded(request: Request) -> Response:
        request.state.me = await whoever_is_signed_in(request)
        try:
            response = await endpoint(request)
        finally:
            await request.close()  # files of a form
        response.headers.setdefault("cache-control", "no-store")
        return response

    return guarded


async def whoever_is_signed_in(request: HTTPConnection) -> SignedIn:
    """Looked up for each request: an ended sign-in or a handed-over duty is over at once. Raises SignInNeeded."""
    cookie = request.cookies.get(COOKIE)
    if not cookie:
        raise SignInNeeded
    house = runtime(request)
    now = house.clock()
    found = await house.store.read(_session, session_key(house.vault, cookie), now)
    if found is None:
        raise SignInNeeded
    held, actor = found
    if held.is_stale:
        await house.store.write(sessions.touch_session, held.id, now=now)
    return SignedIn(actor, held.id, csrf_token(house.vault, cookie))


async def whoever_is_at_the_phone(request: HTTPConnection) -> SignedIn | None:
    """Whose phone this is; without a linked phone, who is signed in to the console. None: nobody with a duty."""
    cookie = request.cookies.get(PHONE)
    house = runtime(request)
    now = house.clock()
    found = await house.store.read(_phone, session_key(house.vault, cookie), now) if cookie else None
    if cookie is None or found is None:
        try:
            return await whoever_is_signed_in(request)
        except SignInNeeded:
            return None
    held, actor = found
    if held.is_stale:
        await house.store.write(sessions.touch_session, held.id, now=now)
    return SignedIn(actor, held.id, csrf_token(house.vault, cookie), is_phone=True)


def _session(session: Session, token_key: str, now: datetime) -> tuple[sessions.Held, Actor] | None:
    held = sessions.session_of(session, token_key, now=now)
    return None if held is None else (held, actor_of(session, held.person_id))


def _phone(session: Session, token_key: str, now: datetime) -> tuple[sessions.Held, Actor] | None:
    held = sessions.session_of(session, token_key, now=now, is_phone=True)
    return None if held is None else (held, actor_of(session, held.person_id))


def me(request: Request) -> Actor:
    """Who asks, on a page behind `signed_in`."""
    signed: SignedIn = request.state.me
    return signed.actor


async def form_of(request: Request, *, max_files: int = 0, max_fields: int = 2000) -> FormData:
    """The form of somebody signed in. Raises FormTooOld when it does not carry this sign-in's own token."""
    form = await request.form(max_files=max_files, max_fields=max_fields)
    check_csrf(form, request.state.me.csrf)
    return form


async def visitors_form(request: Request) -> FormData:
    """The form of somebody who is not signed in. Raises FormTooOld."""
    form = await request.form(max_files=0, max_fields=20)
    check_csrf(form, csrf_token(runtime(request).vault, request.cookies.get(VISIT, "")))
    return form


def check_csrf(form: FormData, wanted: str) -> None:
    if not hmac.compare_digest(str(form.get("csrf", "")).encode(errors="replace"), wanted.encode()):
        raise FormTooOld


def visitors_csrf(request: Request) -> tuple[str, str]:
    """The visitor's cookie (a new one when there is none) and the token that belongs into the form."""
    visit = request.cookies.get(VISIT) or token_urlsafe(24)
    return visit, csrf_token(runtime(request).vault, visit)


def csrf_token(vault: Vault, cookie: str) -> str:
    """Bound to the cookie: another site can neither read nor guess it."""
    return vault.fingerprint("csrf", cookie)


def session_key(vault: Vault, cookie: str) -> str:
    return vault.fingerprint("web session", cookie)


def set_cookie(response: Response, request: Request, name: str, value: str, *, life: timedelta | None = None) -> None:
    """A cookie that no script reads and no other site sends along, kept until the browser closes, or for `life`."""
    response.set_cookie(
        name,
        value,
        max_age=int(life.total_seconds()) if life else None,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
        path="/",
    )


# ---------------------------------------------------------------- signing in


async def sign_in(request: Request, username: str, password: str) -> Welcome | Refusal:
    """Check name and password. Same words and same time for an unknown name as for a wrong password."""
    house = runtime(request)
    name = username.strip().lower()
    keys = _keys(house.vault, name, address_of(request))
    if wait := await house.store.read(attempts.wait, keys, now=house.clock()):
        return too_often(wait)
    # Counted before the password is looked at: as many as are sent at once are as many tries.
    if wait := await house.store.write(attempts.take, keys, now=house.clock()):
        return too_often(wait)
    person_id, password_hash = await house.store.read(_named, name)
    if not await passwords(request).matches(password_hash, password) or person_id is None:
        wait = await house.store.read(attempts.wait, keys, now=house.clock())
        return too_often(wait) if wait else WRONG
    await house.store.write(_right, keys, house.clock())
    return Welcome(await open_session(request, person_id))


async def open_session(request: Request, person_id: int) -> str:
    """Sign the person in; returns the cookie's value, which is kept nowhere."""
    house = runtime(request)
    cookie = token_urlsafe(32)
    token_key = session_key(house.vault, cookie)
    await house.store.write(sessions.open_session, token_key, person_id, now=house.clock())
    return cookie


def phone_session(session: Session, vault: Vault, person_id: int, *, now: datetime) -> str:
    """Link a phone to the person; returns the cookie's value, which is kept nowhere."""
    cookie = token_urlsafe(32)
    sessions.open_session(session, session_key(vault, cookie), person_id, now=now, is_phone=True)
    return cookie


def too_often(wait: timedelta) -> Refusal:
    return Refusal(f"Đăng nhập sai nhiều lần. Hãy thử lại sau {ceil(wait / timedelta(minutes=1))} phút.")


def _keys(vault: Vault, name: str, address: str) -> dict[str, int]:
    """What wrong tries are counted by, and how many are allowed; the first is forgotten by a right one."""
    return {
        vault.fingerprint("sign-in", name, address): ALLOWED_HERE,
        vault.fingerprint("sign-in address", address): ALLOWED,
        vault.fingerprint("sign-in name", name): ALLOWED,
    }


def _named(session: Session, name: str) -> tuple[int | None, str | None]:
    """The person's id and password hash; nothing for a name that cannot sign in."""
    named = select(Person.id, Person.password_hash).where(
        Person.username == name, Person.is_active, Person.password_hash != ""
    )
    return session.exec(named).first() or (None, None)


def _right(session: Session, keys: Mapping[str, int], now: datetime) -> None:
    """The try was a right one: it counts nowhere, and at this address the wrong ones before it are forgotten."""
    attempts.give_back(session, keys, now=now)
    attempts.succeeded(session, next(iter(keys)))


# ---------------------------------------------------------------- bearer tokens


async def bearer(request: HTTPConnection) -> Actor:
    """Whom the request's bearer token speaks for. Raises TokenWanted."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise TokenWanted
    house = runtime(request)
    now = house.clock()
    found = await house.store.read(_token, token_key(house.vault, token.strip()), now)
    if found is None:
        raise TokenWanted
    held, actor = found
    if held.is_stale:
        await house.store.write(sessions.touch_token, held.id, now=now)
    return actor


def _token(session: Session, key: str, now: datetime) -> tuple[sessions.Held, Actor] | None:
    held = sessions.token_of(session, key, now=now)
    return None if held is None else (held, actor_of(session, held.person_id))


def new_token(session: Session, vault: Vault, person_id: int, name: str, *, now: datetime) -> tuple[str, ApiToken]:
    """A bearer token for the person, to be shown once: only its fingerprint is kept."""
    token = f"loa_{token_urlsafe(32)}"
    return token, sessions.keep_token(session, token_key(vault, token), person_id, name, now=now)


def token_key(vault: Vault, token: str) -> str:
    return vault.fingerprint("api token", token)
