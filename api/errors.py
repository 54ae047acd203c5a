"""Refusals become HTTP answers here and nowhere else: JSON for programs, a page with a way back for people."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, RedirectResponse, Response

from api.headers import SECURITY
from api.templating import page
from bot.errors import Conflict, Invalid, NotAllowed, NotFound, Refused
from store.store import PieceRefused, StoreError

logger = logging.getLogger(__name__)


class SignInNeeded(Exception):
    """Nobody is signed in, or no longer."""


class TokenWanted(Exception):
    """The REST interface was asked without a bearer token that is good."""


class FormTooOld(Exception):
    """A form came without its token: opened before the sign-in changed, or not our form at all."""


STATUS: Mapping[type[Refused], int] = {NotFound: 404, NotAllowed: 403, Invalid: 422, Conflict: 409, Refused: 400}
CODES: Mapping[int, str] = {
    400: "refused",
    401: "unauthorized",
    403: "not_allowed",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "too_large",
    422: "invalid",
    429: "too_many_requests",
    500: "internal",
    503: "unavailable",
}
WORDS: Mapping[int, str] = {
    400: "Yêu cầu chưa đúng. Hãy tải lại trang rồi làm lại.",
    401: "Cần mã truy cập (Authorization: Bearer …) còn hiệu lực.",
    403: "Mục này không thuộc phần việc của bạn.",
    404: "Không tìm thấy, hoặc không thuộc địa bàn của bạn.",
    405: "Địa chỉ này không nhận cách gọi như vậy.",
    413: "Nội dung gửi lên quá lớn. Hãy bớt hoặc nén tệp rồi gửi lại.",
    422: "Có chỗ chưa đúng. Hãy xem lại rồi gửi lại.",
    429: "Bạn đã thử quá nhiều lần. Hãy chờ ít phút rồi thử lại.",
    500: "Có lỗi trong hệ thống. Lỗi đã được ghi lại.",
    503: "Hệ thống đang bận hoặc chưa ghi được dữ liệu. Hãy thử lại sau ít phút.",
}
NO_HEADERS: Mapping[str, str] = {}
FIELD_WORDS: Mapping[str, str] = {
    "missing": "thiếu mục này",
    "string_too_short": "không được để trống",
    "string_too_long": "quá dài",
    "too_short": "không được để trống",
    "too_long": "quá nhiều",
    "extra_forbidden": "không có mục này",
    "json_invalid": "không phải JSON đúng",
    "timezone_aware": "thời gian phải kèm múi giờ, ví dụ 2026-11-21T08:00:00+07:00",
}


def install(app: FastAPI) -> None:
    """Hang the table below into the app."""
    app.add_exception_handler(Refused, refused)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, http_error)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, malformed)  # type: ignore[arg-type]
    app.add_exception_handler(StoreError, store_failed)  # type: ignore[arg-type]
    app.add_exception_handler(SignInNeeded, sign_in_needed)
    app.add_exception_handler(TokenWanted, token_wanted)
    app.add_exception_handler(FormTooOld, form_too_old)
    app.add_exception_handler(ClientDisconnect, gone)
    app.add_exception_handler(Exception, broken)


def answer(
    request: Request, status: int, words: str = "", *, field: str = "", headers: Mapping[str, str] = NO_HEADERS
) -> Response:
    """The refusal in the form that the caller reads."""
    words = words or WORDS.get(status) or HTTPStatus(status).phrase
    if request.url.path.startswith(("/api/", "/healthz", "/readyz", "/metrics")):
        error: dict[str, Any] = {"code": CODES.get(status, "refused"), "message": words}
        if field:
            error["field"] = field
        return JSONResponse({"error": error}, status, headers=dict(headers))
    response = page(request, "error.html", status=status, words=words, status_code=status)
    response.headers.update(headers)
    return response


async def refused(request: Request, error: Refused) -> Response:
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    return answer(request, status, error.words, field=getattr(error, "field", ""))


async def http_error(request: Request, error: HTTPException) -> Response:
    # Starlette's own texts are English; only a detail of ours is told.
    ours = error.detail if error.detail != HTTPStatus(error.status_code).phrase else ""
    return answer(request, error.status_code, ours, headers=error.headers or {})


async def malformed(request: Request, error: RequestValidationError) -> Response:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:])
    what = FIELD_WORDS.get(first["type"], "giá trị chưa đúng")
    return answer(request, 422, f"{field}: {what}." if field else f"Dữ liệu gửi lên: {what}.", field=field)


async def store_failed(request: Request, error: StoreError) -> Response:
    if isinstance(error, PieceRefused):
        return await broken(request, error)
    logger.error("the database did not take the work", extra={"kind": type(error).__name__})
    return answer(request, 503, headers={"retry-after": "5"})


async def sign_in_needed(request: Request, error: Exception) -> Response:
    if request.headers.get("accept", "").startswith("text/event-stream"):
        return Response(status_code=204)  # an EventSource that gets 204 stops asking (WHATWG HTML, 9.2.3)
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    came_from = f"?next={quote(wanted, safe='')}" if request.method == "GET" and wanted != "/console/" else ""
    return RedirectResponse(f"/console/login{came_from}", 303)


async def token_wanted(request: Request, error: Exception) -> Response:
    return answer(request, 401, headers={"www-authenticate": "Bearer"})


async def form_too_old(request: Request, error: Exception) -> Response:
    return answer(request, 403, "Trang mở quá lâu nên chưa ghi gì. Hãy quay lại, tải lại trang rồi gửi lại.")


async def gone(request: Request, error: Exception) -> Response:
    """The caller left in the middle of its request: nobody reads this."""
    return Response(status_code=400)


async def broken(request: Request, error: Exception) -> Response:
    """A mistake of ours. The server logs it with its traceback; this answer goes round the middleware."""
    response = answer(request, 500)
    response.headers.update(SECURITY)
    return response
