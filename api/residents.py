"""Who a resident's browser is: a signed cookie instead of an account, shared by the web chat and the village's links.

Only the cookie's fingerprint is kept, once something is written. Whatever a resident's page posts is checked here:
that it comes from our own page, from this browser, and not too often.
"""

import asyncio
import hmac
from dataclasses import dataclass
from datetime import timedelta
from secrets import token_urlsafe
from urllib.parse import urlsplit

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.chat_limits import Limits
from api.state import address_of, runtime

COOKIE = "loa_chat"
LIFE = timedelta(days=400)
"""As long as browsers keep a cookie at most (RFC 6265bis, 5.5)."""
PURPOSE = "resident"
LONGEST_FIELD = 100_000

TOO_OLD = "Trang mở quá lâu nên chưa gửi. Hãy bấm gửi lại. Nếu vẫn không được, hãy cho phép trang này dùng cookie."
FOREIGN = "Yêu cầu không đến từ trang này nên không được nhận."
UNREADABLE = "Không đọc được nội dung gửi lên. Hãy tải lại trang rồi gửi lại."
TOO_OFTEN = "Bạn gửi hơi nhanh. Hãy chờ {} giây rồi gửi lại."


class Refusal(Exception):
    """What was asked for is not done; `words` say why and what to do."""

    def __init__(self, status: int, words: str, *, retry_after: int = 0) -> None:
        super().__init__(words)
        self.status = status
        self.words = words
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Resident:
    cookie: str
    sender_id: str
    """What other messengers call a user id."""
    form_token: str
    """Belongs into each form: another site can neither read nor guess it."""
    is_new: bool
    """The request came without a cookie of ours."""


def resident(request: Request) -> Resident:
    """Whose browser this is; one without a cookie that we signed gets a new one."""
    vault = runtime(request).vault
    told = request.cookies.get(COOKIE, "")
    is_new = vault.unsign(PURPOSE, told) is None
    cookie = vault.sign(PURPOSE, token_urlsafe(24)) if is_new else told
    return Resident(cookie, vault.fingerprint("webchat", cookie), vault.fingerprint("chat form", cookie), is_new)


def keep(response: Response, request: Request, who: Resident) -> None:
    """Let the browser keep its cookie."""
    response.set_cookie(
        COOKIE,
        who.cookie,
        max_age=int(LIFE.total_seconds()),
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )


# ---------------------------------------------------------------- what a page of ours posts


def check_origin(request: Request) -> None:
    """A browser says where a request comes from; what says nothing still needs the page's token."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        if site != "same-origin":
            raise Refusal(403, FOREIGN)
        return
    origin = request.headers.get("origin")
    ours = {request.headers.get("host"), urlsplit(runtime(request).settings.public_url).netloc}
    if origin is not None and (not urlsplit(origin).netloc or urlsplit(origin).netloc not in ours):
        raise Refusal(403, FOREIGN)


def check_rate(request: Request, cost: float) -> None:
    """Let this browser and this address do something that costs so much."""
    if wait := wait_of(request, cost):
        raise Refusal(429, TOO_OFTEN.format(wait), retry_after=wait)


def wait_of(request: Request, cost: float) -> int:
    """Seconds until it may be done; 0: now, and it is paid for."""
    who = resident(request)
    # Whatever else a stranger sends as its cookie is not kept; without a good one its form is refused anyway.
    browser = None if who.is_new else who.cookie
    return limits(request).wait(browser, address_of(request), cost, at=asyncio.get_running_loop().time())


def check_form(who: Resident, told: str) -> None:
    """The form was made for this browser."""
    if not hmac.compare_digest(who.form_token.encode(), told.encode(errors="replace")):
        raise Refusal(403, TOO_OLD)


async def form_of(request: Request, *, files: int = 0) -> FormData:
    """What the page posts, with so many files at most."""
    try:
        return await request.form(max_files=files, max_fields=10, max_part_size=LONGEST_FIELD)
    except (HTTPException, ValueError, LookupError) as error:  # a broken frame, or letters of an unknown alphabet
        raise Refusal(400, UNREADABLE) from error


def field(form: FormData, name: str) -> str:
    """A field's text; '' for none, and for a file."""
    value = form.get(name)
    return value if isinstance(value, str) else ""


def limits(request: Request) -> Limits:
    """The ones of this app, made when the first page wants them."""
    state = request.app.state
    if not hasattr(state, "webchat_limits"):
        state.webchat_limits = Limits()
    made: Limits = state.webchat_limits
    return made
