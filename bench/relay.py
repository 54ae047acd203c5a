"""How long until every village head has the kit, against the least that the messenger's limits allow.

    python -m bench.relay

The stub is that of the tests: at most 30 messages in any second, one a second in each chat, so that a kit of three
messages takes two seconds at least.
"""

import asyncio
import json
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import create_engine
from sqlmodel import Session, col, func, select

from bench import house, report
from bench.legal import stats_of
from bench.processes import OURS, THEIRS, first_line, pin, running
from bench.words import WORDS
from bot import people, relays
from bot.chats import address_key, user_key
from bot.house import House
from bot.permissions import actor_of
from pictures import NoticeWords, notice_png
from scheduler import channels
from scheduler.runtime import Runtime, open_runtime
from store.crypto import Vault
from store.tables import Account, Channel, Chat, ChatKind, Outbox, RoleName, State, Unit

VILLAGES = (14, 100)
KIT = 3
"""Messages: the words, their picture, what to do with them."""
PER_SECOND = 30
CHAT_GAP = 1
LATENCY_MS = 80
PUBLIC = "http://loa.xa.example"
"""Residents could reach it, so that kits carry a link and a QR code; it is no https, so no webhook is set by it."""
PICTURES = 9


def main() -> None:
    report.title(f"Relay: one bot at {PER_SECOND}/s, answers after {LATENCY_MS} ms")
    pin(OURS)
    drawn = _picture()
    rows = [_row(villages, drawn, *asyncio.run(_one(villages))) for villages in VILLAGES]
    report.table(
        (
            "villages",
            "seconds to the last kit",
            "limits allow",
            "over the limits' time",
            "429",
            "most in any second",
            "CPU ms a kit",
            "of it its picture, ms",
        ),
        rows,
    )


async def _one(villages: int) -> tuple[float, float, dict[str, Any]]:
    """Seconds from publishing to the last message, CPU seconds of it, and what the stub saw."""
    arguments = ["-m", "tests.servers.telegram", "--any-token", "--invents-chats", "--latency-ms", str(LATENCY_MS)]
    with running(arguments, cpu=THEIRS) as stub, tempfile.TemporaryDirectory(prefix="loa-bench-") as folder:
        told = json.loads(first_line(stub))
        # The first village has a group that the bot stands in, and gets nothing.
        found = house.furnish(Path(folder), api=told["base_url"], groups=1, villages=villages + 1)
        settings = found.settings.model_copy(update={"adapters": ("relay",), "public_url": PUBLIC})
        _furnish_heads(settings.database_url, found)
        async with open_runtime(settings) as runtime:
            began, cpu = time.perf_counter(), time.process_time()
            await house.publish(runtime, found, villages=found.villages[1:])
            await _all_sent(runtime, villages * KIT)
            took, cpu = time.perf_counter() - began, time.process_time() - cpu
        return took, cpu, await asyncio.to_thread(stats_of, told["url"])


def _furnish_heads(url: str, found: house.House) -> None:
    """A head for each village but the first, whom the bot reaches, and a group that the head carries to."""
    engine = create_engine(url)
    with Session(engine) as session:
        channels.ensure(session, ("relay",), now=datetime.now(UTC))
        bot = session.exec(select(Channel).where(Channel.adapter == "telegram")).one()
        for number, village in enumerate(found.villages[1:], start=1):
            _head(session, Vault(house.SECRET), bot.id or 0, session.get_one(Unit, village), number)
        session.commit()
    engine.dispose()


def _head(session: Session, vault: Vault, channel_id: int, village: Unit, number: int) -> None:
    now, user = datetime.now(UTC), str(7_000 + number)
    person = people.add_person(session, f"Trưởng {village.name}", None, now=now)
    people.grant(session, person, RoleName.VILLAGE_HEAD, village, by=None, now=now)
    private = Chat(
        channel_id=channel_id,
        address_key=address_key(vault, channel_id, user),
        sealed_address=vault.seal(user),
        kind=ChatKind.PRIVATE,
        created_at=now,
    )
    session.add(private)
    session.flush()
    session.add(
        Account(
            channel_id=channel_id,
            user_key=user_key(vault, channel_id, user),
            person_id=person.id,
            private_chat_id=private.id,
            created_at=now,
        )
    )
    session.flush()
    relays.put(
        session,
        House(vault, PUBLIC, ZoneInfo("Asia/Ho_Chi_Minh"), frozenset()),
        actor_of(session, person.id or 0),
        village,
        title=f"Bà con {village.name}",
        members=80,
        carrier_id=person.id,
        backup_id=None,
        now=now,
    )


async def _all_sent(runtime: Runtime, messages: int) -> None:
    while await runtime.store.read(_sent) < messages:  # noqa: ASYNC110 - nothing tells when it is over
        await asyncio.sleep(0.02)


def _sent(session: Session) -> int:
    kit = select(func.count()).where(col(Outbox.key).like("kit:%"), Outbox.state == State.SENT)
    return session.exec(kit).one()


def _picture() -> float:
    """Milliseconds of a usual notice's picture, once everything is loaded."""
    words = NoticeWords(
        headline="THÔNG BÁO CỦA UBND xã Đo Thử",
        issuer="UBND xã Đo Thử",
        body=WORDS,
        day="22/11/2026",
        code="TB-K3M9",
        url=f"{PUBLIC}/t/7hK2mQ9xWcRt",
    )
    notice_png(words)
    took = []
    for _ in range(PICTURES):
        began = time.perf_counter()
        notice_png(words)
        took.append(1000 * (time.perf_counter() - began))
    return median(took)


def _row(villages: int, drawn: float, took: float, cpu: float, stats: dict[str, Any]) -> tuple[object, ...]:
    assert stats["sent"] == villages * KIT, "a kit's messages came once each, and nothing else"
    allowed = max((KIT - 1) * CHAT_GAP, (villages * KIT - 1) // PER_SECOND)
    return (
        villages,
        f"{took:.2f}",
        allowed,
        f"x{took / allowed:.3f}",
        stats["throttled_by_client"],
        stats["max_in_any_second"],
        f"{1000 * cpu / villages:.0f}",
        f"{drawn:.0f}",
    )


if __name__ == "__main__":
    report.machine()
    main()
