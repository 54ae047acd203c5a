"""`loa doctor`: looks at everything that can be wrong, and says in words what to mend."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

import typer

from bot.settings import Settings
from cli import examine, opening, reachable
from cli.findings import Finding, Level, broken, ok
from cli.say import Trouble, say, say_json
from store.schema import SchemaMismatch
from store.store import Store, StoreError


def doctor(
    json: Annotated[bool, typer.Option("--json", help="In dạng JSON")] = False,
    recount: Annotated[bool, typer.Option("--recount", help="Đếm lại số liệu mọi thông báo từ từng dòng gốc")] = False,
) -> None:
    """Khám hệ thống: cài đặt, dữ liệu, kênh, địa chỉ, đồng hồ, ổ đĩa. (What is wrong, and what to mend.)

    Mã thoát 1 khi có LỖI.
    """
    findings = asyncio.run(_all(recount=recount))
    worst = max((finding.level for finding in findings), default=Level.OK)
    if json:
        say_json(
            {
                "ok": worst is not Level.BROKEN,
                "checks": [
                    {"level": f.level.name.lower(), "subject": f.subject, "words": f.words, "mend": f.mend}
                    for f in findings
                ],
            }
        )
    else:
        for finding in findings:
            say(_line(finding))
    if worst is Level.BROKEN:
        raise typer.Exit(1)


def _line(finding: Finding) -> str:
    head = f"{finding.level.words:<8}  {finding.subject}: {finding.words}"
    return f"{head}\n{'':<10}→ {finding.mend}" if finding.mend else head


async def _all(*, recount: bool) -> list[Finding]:
    try:
        found = opening.settings()
    except Trouble as trouble:
        return [
            broken("Cài đặt", str(trouble), "Sửa biến môi trường hoặc tệp .env; .env.example giải thích từng dòng.")
        ]
    findings = [ok("Cài đặt", f"đọc được; múi giờ {found.timezone}"), *examine.files(found), *examine.disk(found)]
    findings += [*examine.public_address(found), *await reachable.public_address(found)]
    return findings + [finding async for finding in _of_database(found, recount=recount)]


async def _of_database(found: Settings, *, recount: bool) -> AsyncIterator[Finding]:
    try:
        async with opening.store_beside_service(found) as store:
            for finding in await _inside(found, store, recount=recount):
                yield finding
    except (Trouble, SchemaMismatch) as error:
        yield broken("Cơ sở dữ liệu", str(error))
    except (StoreError, OSError):
        yield broken(
            "Cơ sở dữ liệu",
            f"không đọc hoặc ghi được {opening.database(found)}",
            "Kiểm tra máy chủ cơ sở dữ liệu, quyền ghi và chỗ trống của ổ đĩa.",
        )


async def _inside(found: Settings, store: Store, *, recount: bool) -> list[Finding]:
    findings = [await examine.writes(found, store), examine.service(found)]
    findings += await store.read(examine.registers)
    findings += await store.read(examine.carried_by_hand, opening.now())
    findings += await store.read(examine.work_left, opening.now())
    findings += await reachable.channels(found, store)
    if store.dialect != "sqlite":  # the clock of an SQLite database is this machine's own
        findings.append(
            reachable.compared("Đồng hồ cơ sở dữ liệu", await store.read(examine.database_time), opening.now())
        )
    if recount:
        findings.append(await examine.recount(store))
    return findings
