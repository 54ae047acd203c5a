"""The part of `loa doctor` that asks others: messengers, the public address, their clocks."""

import asyncio
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from sqlmodel import Session, func, select

from adapters.contract import (
    AdapterBroken,
    Can,
    NotSent,
    OutcomeUnknown,
    RegistersItself,
    SendFailure,
    Throttled,
)
from bot.settings import Settings
from cli import messengers, opening
from cli.findings import Finding, broken, ok, warning
from cli.messengers import Known
from cli.say import Trouble
from store.store import Store
from store.tables import InboundEvent

PATIENCE = 10.0
"""Seconds for one look at another machine."""
DRIFT = timedelta(seconds=30)
"""Times of notices and deadlines are read by people; seconds do not matter, minutes do."""


async def public_address(found: Settings) -> list[Finding]:
    """Whether our own address leads to us, as far as this machine can tell."""
    if not found.residents_url:
        return []
    import httpx

    try:
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            answer = await client.get(f"{found.residents_url}/healthz")
        is_ours = answer.status_code == 200 and answer.json() == {"ok": True}
    except (httpx.HTTPError, ValueError):
        return [
            warning(
                "Địa chỉ công khai",
                f"từ máy này chưa mở được {found.residents_url}",
                "Mở thử bằng điện thoại dùng mạng di động. Nếu không được: xem tên miền, tường lửa, máy chủ web.",
            )
        ]
    if not is_ours:
        return [
            warning(
                "Địa chỉ công khai",
                f"{found.residents_url} mở được nhưng không phải Loa Bản trả lời",
                "Xem lại cấu hình máy chủ web: mọi đường dẫn phải tới cổng của `loa serve`.",
            )
        ]
    return [ok("Địa chỉ công khai", "mở được và đúng là dịch vụ này")]


async def channels(found: Settings, store: Store) -> list[Finding]:
    """Each channel: its settings, who answers, whether events come in, and what time it is there."""
    known = await store.read(messengers.known, found.adapters)
    looks = await asyncio.gather(*(_channel(found, store, channel) for channel in known))
    return [finding for findings in looks for finding in findings]


async def _channel(found: Settings, store: Store, channel: Known) -> list[Finding]:
    subject = f"Kênh {channel.title}"
    findings = []
    if channel.broken:
        findings.append(
            broken(subject, f"đã dừng gửi: {channel.broken}", "Sửa cài đặt của kênh rồi khởi động lại dịch vụ.")
        )
    try:
        settings = messengers.settings_of(found, channel)
        async with messengers.opened(found, store, channel, settings) as adapter:
            if not isinstance(adapter, RegistersItself):
                by_hand = Can.HANDS_OVER in adapter.can
                words = "do người chuyển tay, không cần máy chủ nào" if by_hand else "nằm ngay trong dịch vụ này"
                return findings or [ok(subject, words)]
            proxy = _proxy(settings)
            try:
                async with asyncio.timeout(PATIENCE):
                    identity = await adapter.identity()
            except SendFailure as failure:
                findings.append(_failed(subject, failure, proxy))
            except TimeoutError:
                findings.append(_failed(subject, NotSent(), proxy))
            else:
                through = f", qua máy chủ trung gian {urlsplit(proxy).hostname}" if proxy else ""
                findings.append(
                    ok(subject, f"mã đúng, là {identity.name} (@{identity.handle.removeprefix('@')}){through}")
                )
                findings += await _clock(subject, settings, proxy)
    except Trouble as trouble:
        return [*findings, broken(subject, str(trouble), "Sửa cài đặt rồi chạy lại `loa doctor`.")]
    return [*findings, *await _events(found, store, channel)]


def _failed(subject: str, failure: SendFailure, proxy: str) -> Finding:
    """A wrong token and a blocked network look alike to people; here they are told apart."""
    match failure:
        case AdapterBroken():
            return broken(
                subject,
                f"mã truy cập sai hoặc đã bị thu hồi: nền tảng trả lời “{failure.reason}”",
                "Lấy mã mới ở nơi cấp (Telegram: @BotFather), đặt lại, rồi khởi động lại dịch vụ.",
            )
        case NotSent():
            host = urlsplit(proxy).hostname if proxy else ""
            return broken(
                subject,
                "từ máy này không tới được máy chủ của nền tảng; mã truy cập chưa được kiểm tra"
                + (f" (đi qua máy chủ trung gian {host})" if host else ""),
                f"Kiểm tra máy chủ trung gian {host}."
                if host
                else "Mạng có thể đang chặn: đặt máy chủ trung gian (Telegram: TELEGRAM_PROXY), hoặc dùng kênh khác.",
            )
        case Throttled() | OutcomeUnknown():
            return warning(subject, messengers.in_words(failure), "Chạy lại sau ít phút.")
        case _:
            return broken(subject, messengers.in_words(failure))


async def _events(found: Settings, store: Store, channel: Known) -> list[Finding]:
    """The last event is the proof that the webhook works; a messenger's own word is none."""
    subject = f"Webhook {channel.title}"
    latest = await store.read(_latest_event, channel.id) if channel.id is not None else None
    if latest is None:
        return [
            warning(
                subject,
                "chưa từng nhận tin nào",
                f"Chạy `loa channel set-webhook {channel.adapter} {channel.name}`, rồi nhắn thử cho bot.",
            )
        ]
    return [ok(subject, f"tin gần nhất lúc {latest.astimezone(found.zone):%H:%M %d/%m/%Y}")]


def _latest_event(session: Session, channel_id: int) -> datetime | None:
    return session.exec(select(func.max(InboundEvent.received_at)).where(InboundEvent.channel_id == channel_id)).one()


async def _clock(subject: str, settings: Any, proxy: str) -> list[Finding]:
    """The Date header of the messenger's server, compared with this machine's clock."""
    address = urlsplit(str(getattr(settings, "api_base_url", "")))
    if not address.hostname:
        return []
    import httpx

    try:
        async with httpx.AsyncClient(timeout=PATIENCE, proxy=proxy or None) as client:
            answer = await client.head(f"{address.scheme}://{address.netloc}/")
        there = parsedate_to_datetime(answer.headers["date"])
    except (httpx.HTTPError, LookupError, ValueError):
        return []
    return [compared("Đồng hồ", there, opening.now())]


def compared(subject: str, there: datetime, here: datetime) -> Finding:
    """Two clocks; a difference of a moment is no difference."""
    off = here - there
    if abs(off) <= DRIFT:
        return ok(subject, "khớp")
    way = "nhanh" if off > timedelta(0) else "chậm"
    return warning(
        subject,
        f"máy này chạy {way} {abs(off).total_seconds():.0f} giây so với bên kia",
        "Bật đồng bộ giờ của hệ điều hành (NTP).",
    )


def _proxy(settings: Any) -> str:
    proxy = getattr(settings, "proxy", "")
    return str(proxy.get_secret_value() if hasattr(proxy, "get_secret_value") else proxy)
