"""`loa channel`: accounts of ours on messengers."""

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import typer
from pydantic import SecretStr
from sqlmodel import Session, select

from adapters.contract import Can, Identity, RegistersItself, SendFailure
from bot.commands import COMMANDS
from bot.imports import CODE
from bot.settings import LOOPBACK, Settings
from cli import messengers, opening
from cli.messengers import Known
from cli.say import Trouble, say, table, trouble
from scheduler.channels import MAIN
from store.crypto import Vault
from store.tables import Channel

app = typer.Typer(no_args_is_help=True, help="Kênh nhắn tin: thêm, xem, đăng ký webhook. (Accounts on messengers.)")

Adapter = Annotated[str, typer.Argument(metavar="ADAPTER", help="Nền tảng, ví dụ telegram")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Tên của kênh, ví dụ main")]


@app.command("add")
def add(
    adapter: Adapter,
    name: Name,
    given: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Một cài đặt; không có --set nào thì hỏi từng cài đặt"),
    ] = None,
) -> None:
    """Thêm kênh có cài đặt riêng (được mã hoá); thêm lại là thay cài đặt. (Add a channel.)"""
    found = opening.settings()
    if name == MAIN:
        raise Trouble("Kênh main lấy cài đặt từ biến môi trường và ADAPTERS. Hãy đặt một tên khác.")
    if not CODE.fullmatch(name):
        raise Trouble("Tên kênh chỉ gồm chữ thường không dấu, chữ số và dấu gạch nối.")
    owner = messengers.settings_class(adapter)
    values = _given(owner, given) if given else _asked(owner)
    settings = messengers.configured(adapter, values)
    sealed = Vault(found.secret_key).seal(json.dumps(values, ensure_ascii=False))
    asyncio.run(_add(found, Known(None, adapter, name, sealed), settings))


@app.command("list")
def show() -> None:
    """Các kênh và tình trạng. (Channels and how they stand.)"""
    found = opening.settings()
    channels = opening.read(found, messengers.known, found.adapters)
    rows = [
        (
            channel.adapter,
            channel.name,
            channel.handle or "-",
            "biến môi trường" if channel.sealed_settings is None else "riêng, đã mã hoá",
            f"LỖI: {channel.broken}"
            if channel.broken
            else "chưa chạy lần nào"
            if channel.id is None
            else "bình thường",
        )
        for channel in channels
    ]
    say(table(("Nền tảng", "Kênh", "Tài khoản", "Cài đặt", "Tình trạng"), rows))


@app.command("set-webhook")
def set_webhook(adapter: Adapter, name: Name) -> None:
    """Báo cho nền tảng gửi tin về LOA_PUBLIC_URL và hiện danh sách lệnh. (Register the webhook and commands.)"""
    found = opening.settings()
    if not found.public_url:
        raise Trouble("Chưa có địa chỉ công khai. Hãy đặt LOA_PUBLIC_URL (https://…), rồi chạy lại.")
    address = f"{found.public_url}/webhooks/{adapter}/{name}"
    if not found.residents_url:
        trouble(f"Lưu ý: {found.public_url} chỉ mở được trên chính máy này ({', '.join(LOOPBACK[:2])}…).")
    asyncio.run(_set_webhook(found, adapter, name, address))


async def _add(found: Settings, channel: Known, settings: Any) -> None:
    async with opening.store_beside_service(found) as store:
        async with messengers.opened(found, store, channel, settings) as adapter:
            identity, problem = None, ""
            if isinstance(adapter, RegistersItself):
                try:
                    identity = await adapter.identity()
                except SendFailure as failure:
                    problem = messengers.in_words(failure)
            tells_read = Can.TELL_READ in adapter.can
        is_new = await store.write(_put, channel, identity, tells_read, now=opening.now())
    say(f"Đã {'thêm' if is_new else 'thay cài đặt của'} kênh {channel.title}" + _as(identity) + ".")
    if problem:
        trouble(f"Lưu ý: chưa kiểm tra được kênh: {problem}.")
    say(f"Khởi động lại dịch vụ để mở kênh, rồi chạy `loa channel set-webhook {channel.adapter} {channel.name}`.")


async def _set_webhook(found: Settings, adapter_name: str, name: str, address: str) -> None:
    async with opening.store_beside_service(found) as store:
        channels = await store.read(messengers.known, found.adapters)
        channel = next((c for c in channels if (c.adapter, c.name) == (adapter_name, name)), None)
        if channel is None:
            raise Trouble(f"Chưa có kênh {adapter_name}:{name}. Có: {', '.join(c.title for c in channels)}.")
        settings = messengers.settings_of(found, channel)
        async with messengers.opened(found, store, channel, settings) as adapter:
            if not isinstance(adapter, RegistersItself):
                raise Trouble(f"Kênh {channel.title} không cần đăng ký webhook.")
            try:
                identity = await adapter.identity()
                await adapter.register(address, COMMANDS)
            except SendFailure as failure:
                raise Trouble(f"Chưa đăng ký được {channel.title}: {messengers.in_words(failure)}.") from failure
    say(f"Kênh {channel.title}{_as(identity)} từ nay gửi tin về {address}.")


def _as(identity: Identity | None) -> str:
    return f" ({identity.name}, @{identity.handle.removeprefix('@')})" if identity else ""


def _put(session: Session, channel: Known, identity: Identity | None, tells_read: bool, *, now: datetime) -> bool:
    """True when the channel is new."""
    row = session.exec(
        select(Channel).where(Channel.adapter == channel.adapter, Channel.name == channel.name)
    ).one_or_none()
    is_new = row is None
    row = row or Channel(adapter=channel.adapter, name=channel.name, created_at=now)
    if not is_new and identity is not None and row.identity not in ("", identity.id):
        raise Trouble(
            f"Kênh {channel.title} là của một tài khoản khác ({row.handle}); các nhóm của nó không nghe tài khoản mới. "
            "Hãy thêm tài khoản mới với một tên kênh khác."
        )
    row.sealed_settings, row.tells_read, row.broken = channel.sealed_settings, tells_read, ""
    if identity is not None:
        row.identity, row.handle = identity.id, identity.handle
    session.add(row)
    return is_new


def _given(owner: Any, given: Sequence[str]) -> dict[str, str]:
    """KEY=VALUE by the setting's name or by its environment variable. Raises Trouble."""
    prefix = str(owner.model_config.get("env_prefix", ""))
    values = {}
    for pair in given:
        key, is_pair, value = pair.partition("=")
        field = key.strip().lower().removeprefix(prefix.lower())
        if not is_pair or field not in owner.model_fields:
            raise Trouble(
                f"--set cần dạng KEY=VALUE với KEY là một trong: {', '.join(owner.model_fields) or 'không có'}."
            )
        values[field] = value.strip()
    return values


def _asked(owner: Any) -> dict[str, str]:
    """Ask for each setting; an empty answer leaves it to the environment or its default."""
    values = {}
    for field, about in owner.model_fields.items():
        is_secret = about.annotation is SecretStr
        answer = typer.prompt(opening.variable(owner, field), default="", show_default=False, hide_input=is_secret)
        if answer.strip():
            values[field] = answer.strip()
    return values
