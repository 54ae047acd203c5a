"""The app, assembled: routes, middleware, errors, and the running house for as long as the app lives."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from argon2 import PasswordHasher
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from api import apidocs, console, errors, feeds, health, links, notices, pages, reach, truong, webchat, webhooks
from api.console.live import Live
from api.headers import BodyLimit, SecureHeaders
from api.health import Probe
from api.passwords import Passwords
from api.templating import FOREVER, STATIC, environment
from bot.settings import Settings
from scheduler.runtime import open_runtime


class Static(StaticFiles):
    """Files whose address names their content (`?v=…`) are kept by browsers for ever."""

    async def get_response(self, path: str, scope: Scope) -> Any:
        response = await super().get_response(path, scope)
        if response.status_code in (200, 304):
            response.headers["cache-control"] = FOREVER if b"v=" in scope["query_string"] else "no-cache"
        return response


def create_app(settings: Settings, *, work: bool = True, hasher: PasswordHasher | None = None) -> FastAPI:
    """The service over HTTP. `work=False`: answer only, drain no channel (another process does).

    `hasher`: what checking a password costs, if not what the library recommends.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.passwords, app.state.probe = Passwords(hasher), Probe()
        async with open_runtime(settings, work=work) as runtime, Live(runtime.store) as live:
            app.state.runtime, app.state.live = runtime, live
            yield

    app = FastAPI(
        title="Loa Bản",
        summary="Thông báo tới từng thôn, bản và số liệu đã tới đâu.",
        version="1",
        openapi_url="/api/openapi.json",
        docs_url=None,  # its pages load scripts from another host
        redoc_url=None,
        lifespan=lifespan,
        middleware=[Middleware(SecureHeaders), Middleware(BodyLimit)],
        # Starlette's plain routes: FastAPI's layers would add work to each webhook and nothing to a page.
        routes=[
            *webhooks.routes,
            *health.routes,
            *feeds.routes,  # before the pages: /tb/{code} would take them for codes
            *pages.routes,
            *links.routes,
            *console.routes,
            *webchat.routes,
            *truong.routes,
            Route("/api/docs", apidocs.docs),
            Mount("/static", Static(directory=STATIC)),
        ],
    )
    app.state.jinja = environment(settings.zone)
    app.state.settings = settings
    errors.install(app)
    app.include_router(notices.router)
    app.include_router(reach.router)
    return app
