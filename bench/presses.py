"""What an evening costs on which whole villages press: events that lie in the inbox, handled through the real path.

    python -m bench.presses

The peer is an event of a shape that we do not know: leased, opened, parsed, marked as done, and nothing decided. The
difference is the decision: account, receipt, figures, the answer to the presser and the edit that will follow.
"""

import asyncio
import json
import resource
import tempfile
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, func, select

from bench import house, report
from bench.processes import OURS, THEIRS, first_line, pin, running
from bench.words import group
from bot.messages import marked, of_payload
from scheduler.runtime import Runtime, open_runtime
from store import events
from store.tables import Channel, Chat, Content, EventState, InboundEvent, Outbox

ROUNDS = 3
GROUPS = 8
PEOPLE = 240
NUMBERS = count(1)
KINDS = {
    "nothing": "an event that decides nothing",
    "first": "**first press of an account**",
    "again": "the same account presses again",
}


def main() -> None:
    report.title(f"Presses handled: {PEOPLE} accounts in {GROUPS} groups of as many villages")
    pin(OURS)
    rounds = [asyncio.run(_round()) for _ in range(ROUNDS)]
    report.table(
        ("event", "CPU against nothing decided", "CPU µs", "wall µs", "events a commit"),
        [
            (
                words,
                report.ratio([r[kind]["cpu"] for r in rounds], [r["nothing"]["cpu"] for r in rounds]),
                *(report.middle([r[kind][name] for r in rounds]) for name in ("cpu", "wall")),
                report.middle([r[kind]["per_commit"] for r in rounds], 1),
            )
            for kind, words in KINDS.items()
        ],
    )


async def _round() -> dict[str, dict[str, float]]:
    with running(["-m", "bench.stub"], cpu=THEIRS) as stub, tempfile.TemporaryDirectory(prefix="loa-bench-") as folder:
        api = f"http://127.0.0.1:{first_line(stub)}/bot"
        found = house.furnish(Path(folder), api=api, groups=GROUPS, villages=GROUPS, households=60)
        async with open_runtime(found.settings, limits_off=True) as runtime:
            notice = await house.publish(runtime, found)
            await house.sent(runtime, notice)
            posts = await runtime.store.read(_posts, notice)
            assert len(posts) == GROUPS
            await _handled(runtime, [_press(posts, 0)])  # statements are compiled once
            return {
                "nothing": await _handled(runtime, [_unknown(person) for person in range(PEOPLE)]),
                "first": await _handled(runtime, [_press(posts, person) for person in range(1, PEOPLE + 1)]),
                "again": await _handled(runtime, [_press(posts, person) for person in range(1, PEOPLE + 1)]),
            }


def _posts(session: Session, notice_id: int) -> list[tuple[str, str]]:
    """Message and button token of the notice in each group, in the order of the groups."""
    rows = session.exec(
        select(Outbox.id, Outbox.message_id, Content.payload)
        .join(Content, col(Content.id) == Outbox.content_id)
        .join(Chat, col(Chat.id) == Outbox.chat_id)
        .where(Outbox.notice_id == notice_id)
        .order_by(col(Chat.id))
    ).all()
    return [
        (message_id or "", marked(of_payload(payload).buttons, row_id or 0)[0][0].token)
        for row_id, message_id, payload in rows
    ]


async def _handled(runtime: Runtime, updates: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Put the events into the inbox, then measure until the last one is done."""
    channel_id = await runtime.store.read(lambda session: session.exec(select(Channel.id)).first() or 0)
    now = runtime.clock()
    rows = [
        events.row(
            channel_id,
            str(update["update_id"]),
            runtime.vault.fingerprint("chat", str(channel_id), str(update["chat"])),
            runtime.vault.seal(json.dumps(update["body"], ensure_ascii=False)),
            now=now,
        )
        for update in updates
    ]
    await runtime.store.append(events.accept("sqlite"), rows)
    commits, began, cpu = runtime.store.commits, time.perf_counter(), _cpu()
    runtime.nudge_inbox()
    while await runtime.store.read(_left):  # noqa: ASYNC110 - nothing tells when the last one is done
        await asyncio.sleep(0.05)
    wall, used = time.perf_counter() - began, _cpu() - cpu
    each = 1e6 / len(updates)
    return {"wall": wall * each, "cpu": used * each, "per_commit": len(updates) / (runtime.store.commits - commits)}


def _left(session: Session) -> int:
    aside = session.exec(select(func.count()).where(InboundEvent.state == EventState.ASIDE)).one()
    assert aside == 0, "an event could not be handled"
    waiting = select(func.count()).where(col(InboundEvent.state).in_([EventState.NEW, EventState.LEASED]))
    return session.exec(waiting).one()


def _press(posts: Sequence[tuple[str, str]], person: int) -> dict[str, Any]:
    number, place = next(NUMBERS), person % GROUPS
    message_id, token = posts[place]
    query = {
        "id": str(number),
        "from": {"id": 5000 + person, "is_bot": False, "first_name": "Lan"},
        "message": {
            "message_id": int(message_id),
            "from": {"id": 1, "is_bot": True, "first_name": "Loa"},
            "chat": {"id": group(place), "type": "supergroup", "title": f"Nhóm {place}"},
            "date": 1_790_000_000,
            "text": "📢",
        },
        "chat_instance": "1",
        "data": token,
    }
    return {"update_id": number, "chat": group(place), "body": {"update_id": number, "callback_query": query}}


def _unknown(person: int) -> dict[str, Any]:
    number = next(NUMBERS)
    return {"update_id": number, "chat": group(person % GROUPS), "body": {"update_id": number, "something_new": {}}}


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    report.machine()
    main()
