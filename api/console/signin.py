"""Signing in and out."""

import logging

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from api.auth import (
    COOKIE,
    VISIT,
    Welcome,
    form_of,
    set_cookie,
    sign_in,
    signed_in,
    visitors_csrf,
    visitors_form,
)
from api.state import runtime
from api.templating import page
from store import sessions

logger = logging.getLogger(__name__)

HOME = "/console/"
LONGEST = 200


async def show(request: Request) -> Response:
    """GET /console/login"""
    return _form(request, safe_next(request.query_params.get("next", "")))


async def enter(request: Request) -> Response:
    """POST /console/login: a new session, whatever cookie came along."""
    form = await visitors_form(request)
    username, password = str(form.get("username", ""))[:LONGEST], str(form.get("password", ""))[:LONGEST]
    wanted = safe_next(str(form.get("next", "")))
    outcome = await sign_in(request, username, password)
    if not isinstance(outcome, Welcome):
        logger.info("sign-in refused")
        return _form(request, wanted, status=400, error=outcome.words, username=username)
    response = RedirectResponse(wanted, 303)
    set_cookie(response, request, COOKIE, outcome.cookie)
    response.delete_cookie(VISIT, path="/", httponly=True, samesite="lax")
    return response


@signed_in
async def leave(request: Request) -> Response:
    """POST /console/logout"""
    await form_of(request)
    me = request.state.me
    await runtime(request).store.write(sessions.end_session, me.session_id, me.actor.person_id)
    response = RedirectResponse("/console/login", 303)
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="lax")
    return response


def _form(request: Request, wanted: str, *, status: int = 200, error: str = "", username: str = "") -> Response:
    visit, csrf = visitors_csrf(request)
    response = page(
        request, "console/login.html", status=status, csrf=csrf, next=wanted, error=error, username=username, me=None
    )
    set_cookie(response, request, VISIT, visit)
    response.headers["cache-control"] = "no-store"
    return response


def safe_next(wanted: str) -> str:
    """Where to go after signing in: a page of the console, never another site."""
    is_ours = wanted.startswith("/console/") and "\\" not in wanted and wanted.isprintable()
    return wanted if is_ours and not wanted.startswith("/console/login") else HOME


routes = [
    Route("/console/login", show, methods=["GET"]),
    Route("/console/login", enter, methods=["POST"]),
    Route("/console/logout", leave, methods=["POST"]),
]
