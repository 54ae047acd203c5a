"""The door of /truong: who may come in with a linked phone, how a phone is linked and let go, how its pages answer."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import wraps
from hashlib import sha256
from typing import Any

from jinja2 import Environment
from markupsafe import Markup
from sqlmodel import Session
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from api.auth import (
    ALLOWED,
    COOKIE,
    PHONE,
    VISIT,
    Refusal,
    SignedIn,
    Welcome,
    check_csrf,
    phone_session,
    session_key,
    set_cookie,
    too_often,
    visitors_csrf,
    visitors_form,
    whoever_is_at_the_phone,
)
from api.chat_limits import Buckets, Limits
from api.errors import STATUS, FormTooOld
from api.state import address_of, runtime
from api.templating import page
from bot import people, texts
from bot.errors import NotAllowed, NotFound, Refused
from bot.house import House
from bot.permissions import Actor, actor_of
from store import attempts, audit, sessions
from store.tables import CodePurpose

HOME = "/truong"
LONGEST_CODE = 40
NO_CODE = "Chưa gõ mã. Mã do cán bộ xã cấp, ví dụ 7K4M-9QTX."
NO_DUTY = "Bác chưa được giao việc ở thôn, bản nào nên trang này chưa có gì. Bác hỏi cán bộ xã."
OUT = "Máy này đã đăng xuất. Bác đăng nhập lại."
TOO_OLD = "Trang mở quá lâu nên chưa ghi gì. Hãy tải lại trang rồi bấm lại."
TOO_FAST = "Bấm hơi nhanh. Hãy chờ {} giây rồi bấm lại."

Endpoint = Callable[[Request], Awaitable[Response]]


# ---------------------------------------------------------------- who comes in


def at_the_phone(endpoint: Endpoint) -> Endpoint:
    """For whoever has a duty and a linked phone, or is signed in to the console; `carrier(request)` is who asks.

    What a form may not do is said on the page, or in JSON to the page's script.
    """

    @wraps(endpoint)
    async def guarded(request: Request) -> Response:
        asker = await whoever_is_at_the_phone(request)
        if asker is None or not asker.actor.grants:
            if wants_json(request):
                return JSONResponse({"error": OUT}, 401, headers=NO_STORE)
            return RedirectResponse(HOME, 303)
        request.state.phone = asker
        try:
            response = await endpoint(request)
        finally:
            await request.close()
        response.headers.setdefault("cache-control", "no-store")
        return response

    return guarded


def carrier(request: Request) -> Actor:
    """Who asks, on a page behind `at_the_phone`."""
    return asker_of(request).actor


def asker_of(request: Request) -> SignedIn:
    asker: SignedIn = request.state.phone
    return asker


async def form_of(request: Request) -> FormData:
    """The form of whoever is at the phone. Raises FormTooOld, Busy."""
    at = asyncio.get_running_loop().time()
    if wait := _limits(request).wait(str(carrier(request).person_id), address_of(request), 1, at=at):
        raise Busy(wait)
    form = await request.form(max_files=0, max_fields=2000)
    check_csrf(form, asker_of(request).csrf)
    return form


class Busy(Refused):
    """Too much at once."""

    def __init__(self, wait: int) -> None:
        super().__init__(TOO_FAST.format(wait))
        self.wait = wait


def refusal_of(error: Refused | FormTooOld) -> tuple[int, str]:
    """The status and the words of what is not done."""
    if isinstance(error, FormTooOld):
        return 403, TOO_OLD
    if isinstance(error, Busy):
        return 429, error.words
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), error.words


def refused_json(error: Refused | FormTooOld) -> Response:
    """To the page's script; `stale` says that a fresh page would be heard."""
    status, words = refusal_of(error)
    headers = {**NO_STORE, **({"retry-after": str(error.wait)} if isinstance(error, Busy) else {})}
    return JSONResponse({"error": words, "stale": isinstance(error, FormTooOld)}, status, headers=headers)


def wants_json(request: Request) -> bool:
    return "application/json" in request.headers.get("accept", "")


NO_STORE: Mapping[str, str] = {"cache-control": "no-store"}


def _limits(request: Request) -> Limits:
    state = request.app.state
    if not hasattr(state, "truong_limits"):
        state.truong_limits = Limits(browsers=Buckets(burst=60, per_second=1))
    limits: Limits = state.truong_limits
    return limits


# ---------------------------------------------------------------- pages


def inner_page(request: Request, template: str, *, status: int = 200, error: str = "", **context: Any) -> Response:
    """A page whose inner part its script keeps fresh: 204 when that still is what the script has.

    `x-loa-at` says that the answer is ours, and when it was true; `x-loa-who` whose it is, without saying who. That is
    said to a linked phone alone, which may keep a copy for times without a line: a sign-in at the console may not.
    """
    house, asker = runtime(request), asker_of(request)
    now = house.clock()
    jinja: Environment = request.app.state.jinja
    inner = jinja.get_template(f"{template}_inner.html").render(csrf=asker.csrf, **context)
    mark = sha256(inner.encode()).hexdigest()[:16]
    who = house.vault.fingerprint("truong", str(asker.actor.person_id))[:16]
    headers = {**NO_STORE, "x-loa-at": texts.moment(house.house.local(now))}
    if asker.is_phone:
        headers["x-loa-who"] = who
    if not error and request.headers.get("x-loa-mark") == mark:
        return Response(status_code=204, headers=headers)
    safe = Markup(inner)  # noqa: S704 - escaped when it was rendered
    shown = {"inner": safe, "mark": mark, "who": who, "csrf": asker.csrf, "asker": asker}
    response = page(request, f"{template}.html", status=status, error=error, now=now, me=None, **shown, **context)
    response.headers.update(headers)
    return response


def door(request: Request, *, status: int = 200, error: str = "", typed: str = "") -> Response:
    """The form for the one-time code."""
    visit, csrf = visitors_csrf(request)
    response = page(request, "truong_door.html", status=status, csrf=csrf, error=error, typed=typed, me=None)
    set_cookie(response, request, VISIT, visit)
    now = runtime(request).clock()
    response.headers.update({**NO_STORE, "x-loa-at": texts.moment(runtime(request).house.local(now))})
    return response


# ---------------------------------------------------------------- linking a phone


async def enter(request: Request) -> Response:
    """POST /truong/vao: the code is spent, the phone linked. A GET links nothing: scanners of links open them too."""
    house = runtime(request)
    form = await visitors_form(request)
    typed = str(form.get("ma", "")).strip()[:LONGEST_CODE]
    if not typed:
        return door(request, status=422, error=NO_CODE)
    now = house.clock()
    # Counted before it is looked at. Mobile networks put many phones behind one address, so that one is wide.
    keys = {house.vault.fingerprint("phone code", address_of(request)): ALLOWED}
    if wait := await house.store.write(attempts.take, keys, now=now):
        return door(request, status=429, error=too_often(wait).words, typed=typed)
    old = [session_key(house.vault, cookie) for cookie in [request.cookies.get(PHONE)] if cookie]
    guesser = house.vault.fingerprint("phone code", request.cookies.get(VISIT, ""))
    try:
        outcome = await house.store.write(_link, house.house, typed, guesser, keys, old, now)
    except NotAllowed as error:
        return door(request, status=429, error=error.words, typed=typed)
    if isinstance(outcome, Refusal):
        return door(request, status=422, error=outcome.words, typed=typed)
    response = RedirectResponse(HOME, 303, headers=NO_STORE)
    set_cookie(response, request, PHONE, outcome.cookie, life=sessions.PHONE_LONGEST)
    response.delete_cookie(VISIT, path="/", httponly=True, samesite="lax")
    return response


def _link(
    session: Session,
    house: House,
    typed: str,
    guesser: str,
    keys: Mapping[str, int],
    old: list[str],
    now: datetime,
) -> Welcome | Refusal:
    code = people.find_code(session, house, typed, CodePurpose.LINK_PERSON, guesser, now=now)
    if code is None:
        return Refusal(texts.CODE_WRONG)
    attempts.give_back(session, keys, now=now)
    try:
        has_duty = bool(actor_of(session, code.person_id).grants)
    except NotFound:
        has_duty = False
    if not has_duty:
        return Refusal(NO_DUTY)
    if not people.spend(session, code, now=now):
        return Refusal(texts.CODE_WRONG)
    sessions.end_by_keys(session, old)
    audit.note(
        session,
        at=now,
        person_id=code.person_id,
        unit_id=None,
        action="phone linked",
        subject=f"person:{code.person_id}",
    )
    return Welcome(phone_session(session, house.vault, code.person_id, now=now))


@at_the_phone
async def leave(request: Request) -> Response:
    """POST /truong/ra: whatever is signed in on this machine is over, the console too."""
    try:
        await form_of(request)
    except (Refused, FormTooOld) as error:
        status, words = refusal_of(error)
        return door(request, status=status, error=words)
    house = runtime(request)
    cookies = [request.cookies[name] for name in (PHONE, COOKIE) if name in request.cookies]
    await house.store.write(sessions.end_by_keys, [session_key(house.vault, cookie) for cookie in cookies])
    response = RedirectResponse(HOME, 303)
    for name in (PHONE, COOKIE):
        response.delete_cookie(name, path="/", httponly=True, samesite="lax")
    return response
