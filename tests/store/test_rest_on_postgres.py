"""The same request sent twice at the same moment, which only PostgreSQL really runs beside each other."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlmodel import Session

from api.main import create_app
from bot.settings import Settings
from store import migrations
from store.crypto import Vault
from tests import postgres
from tests.api.conftest import PUBLIC, SECRET, House, _furnish

pytestmark = pytest.mark.postgres


def _prepare(url):
    migrations.upgrade(url)
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with Session(engine) as session:
        _furnish(session, Vault(SECRET))
        session.commit()
    engine.dispose()


@pytest.fixture
async def house():
    server = postgres.server()
    with server.fresh(server.template("commune", _prepare)) as url:
        values: dict[str, Any] = {"secret_key": SECRET, "database_url": url, "public_url": PUBLIC}
        app = create_app(Settings(**values, _env_file=None), work=False)
        async with app.router.lifespan_context(app):
            house = House(app)
            yield house
            for client in house.clients:
                await client.aclose()


async def test_one_key_is_one_notice_however_many_ask_at_once(house):
    browser = await house.rest("canbo")
    body = {"body": "Mai họp bản lúc 8 giờ.", "villages": ["ban-1", "ban-2"]}
    for number in range(3):
        headers = {"idempotency-key": f"key-{number}"}
        answers = await asyncio.gather(*(browser.post("/api/v1/notices", json=body, headers=headers) for _ in range(6)))
        assert sorted(answer.status_code for answer in answers) == [200] * 5 + [201], [a.text for a in answers]
        assert len({answer.json()["code"] for answer in answers}) == 1
