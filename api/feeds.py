"""A commune's notices for other pages: an RSS feed, and a small list for an <iframe> on the commune's portal."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from hashlib import sha256
from xml.etree import ElementTree

from sqlalchemy.orm import aliased
from sqlmodel import Session, and_, col, select
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.reads import RELEASED, title_of
from api.state import runtime
from api.templating import page
from bot.errors import NotFound
from bot.house import House
from bot.notices import url_of
from store.tables import Issuer, IssuerKind, Notice, NoticeRevision, NoticeState, Unit, UnitKind

NEWEST = 30
IN_LIST = 12
"""The list stands in a corner of somebody's page."""
RECALLED, CORRECTED = "[ĐÃ THU HỒI]", "[ĐÃ SỬA]"
FRESH = "public, max-age=60"
FRAMED = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors *"
"""Of the list alone: any portal may frame it, because there is nothing in it to press but links to the notices."""
NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot say, not even escaped: https://www.w3.org/TR/xml/#charsets"""
ATOM = "http://www.w3.org/2005/Atom"
ElementTree.register_namespace("atom", ATOM)


@dataclass(frozen=True, slots=True)
class FeedItem:
    code: str
    title: str
    body: str
    issuer: str
    address: str
    """Of its public page; '' when residents cannot reach us."""
    is_urgent: bool
    mark: str
    """'' or what became of it: corrected, recalled."""
    published_at: datetime
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Feed:
    commune: str
    items: tuple[FeedItem, ...]

    @property
    def changed_at(self) -> datetime | None:
        return max((item.changed_at for item in self.items), default=None)


async def feed(request: Request) -> Response:
    """GET /tb/feed.xml: the newest notices of the commune's own bodies; `?xa=` where the house has several communes."""
    house = runtime(request)
    found = await house.store.read(_found, house.house, request.query_params.get("xa", ""), NEWEST)
    here = house.house.public_url or str(request.base_url).rstrip("/")
    return _kept(request, rss(found, here), found, "application/rss+xml")


async def embed(request: Request) -> Response:
    """GET /tb/embed: the same as a list without script or cookie, which any portal may frame."""
    house = runtime(request)
    found = await house.store.read(_found, house.house, request.query_params.get("xa", ""), IN_LIST)
    shown = page(request, "embed.html", me=None, feed=found, home=house.house.public_url)
    answer = _kept(request, bytes(shown.body), found, "text/html")
    answer.headers["content-security-policy"] = FRAMED
    return answer


def rss(found: Feed, here: str) -> bytes:
    """RSS 2.0. A notice keeps its guid when it is corrected, so that readers show it in its place."""
    root = ElementTree.Element("rss", version="2.0")
    channel = ElementTree.SubElement(root, "channel")
    _say(channel, "title", f"Thông báo của {found.commune}")
    _say(channel, "link", f"{here}/")
    _say(channel, "description", f"Thông báo mới nhất do các cơ quan của {found.commune} phát qua Loa Bản.")
    _say(channel, "language", "vi")
    if found.changed_at:
        _say(channel, "lastBuildDate", _date(found.changed_at))
    _say(channel, "ttl", "1")
    for notice in found.items:
        item = ElementTree.SubElement(channel, "item")
        _say(item, "title", f"{notice.mark} {notice.title}".strip())
        if notice.address:
            _say(item, "link", notice.address)
        _say(item, "description", f"{notice.body}\n\n— {notice.issuer} · Mã {notice.code}")
        _say(item, "guid", notice.code, isPermaLink="false")
        _say(item, "pubDate", _date(notice.published_at))
        if notice.is_urgent:
            _say(item, "category", "Khẩn")
        if notice.changed_at > notice.published_at:
            _say(item, f"{{{ATOM}}}updated", notice.changed_at.astimezone(UTC).isoformat(timespec="seconds"))
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _say(parent: ElementTree.Element, name: str, words: str, **attributes: str) -> None:
    ElementTree.SubElement(parent, name, attributes).text = NOT_XML.sub("", words)


def _date(at: datetime) -> str:
    return format_datetime(at.astimezone(UTC), usegmt=True)


# ---------------------------------------------------------------- what is in it


def _found(session: Session, house: House, code: str, limit: int) -> Feed:
    """Raises NotFound, in words, for no such commune, or when it must be said which one is meant."""
    commune = _commune(session, code)
    first = aliased(NoticeRevision)
    rows = session.exec(
        select(Notice, NoticeRevision, first.body)
        .join(Issuer, col(Issuer.id) == Notice.issuer_id)
        .join(
            NoticeRevision,
            and_(col(NoticeRevision.notice_id) == Notice.id, col(NoticeRevision.revision) == Notice.revision),
        )
        # What was recalled is listed under what it once said: by that people know it.
        .join(first, and_(col(first.notice_id) == Notice.id, col(first.revision) == 1))
        .where(
            Notice.unit_id == commune.id,
            Issuer.kind != IssuerKind.VILLAGE,
            col(Notice.audience_id).is_(None),
            col(Notice.published_at).is_not(None),
            col(Notice.state).in_(RELEASED),
        )
        .order_by(col(Notice.published_at).desc(), col(Notice.id).desc())
        .limit(limit)
    ).all()
    return Feed(commune.name, tuple(_item(house, *row) for row in rows))


def communes(session: Session) -> list[Unit]:
    """Those that a feed may be asked for."""
    found = select(Unit).where(Unit.kind == UnitKind.COMMUNE, col(Unit.valid_to).is_(None)).order_by(col(Unit.id))
    return list(session.exec(found).all())


def _commune(session: Session, code: str) -> Unit:
    known = communes(session)
    match [unit for unit in known if unit.code == code.strip().lower()] if code else known:
        case [commune]:
            return commune
        case []:
            raise NotFound("Không có xã nào mang mã này.")
        case _:
            raise NotFound("Ở đây có nhiều xã: hãy thêm ?xa= và mã của xã vào địa chỉ.")


def _item(house: House, notice: Notice, now_says: NoticeRevision, once_said: str) -> FeedItem:
    assert notice.published_at is not None
    is_recalled = notice.state is NoticeState.RECALLED
    mark = RECALLED if is_recalled else CORRECTED if notice.revision > 1 else ""
    return FeedItem(
        code=notice.code,
        title=title_of(once_said if is_recalled else now_says.body),
        body=now_says.body,
        issuer=notice.issuer_name,
        address=url_of(house, notice.code),
        is_urgent=notice.is_urgent,
        mark=mark,
        published_at=notice.published_at,
        changed_at=max(notice.published_at, now_says.created_at) if notice.revision > 1 else notice.published_at,
    )


# ---------------------------------------------------------------- asked again


def _kept(request: Request, content: bytes, found: Feed, media_type: str) -> Response:
    """The answer with what a reader needs to ask again cheaply; 304 when it has this already."""
    headers = {"etag": f'"{sha256(content).hexdigest()[:32]}"', "cache-control": FRESH}
    if found.changed_at:
        headers["last-modified"] = _date(found.changed_at)
    if _has_it(request, headers["etag"], found.changed_at):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=f"{media_type}; charset=utf-8", headers=headers)


def _has_it(request: Request, etag: str, changed_at: datetime | None) -> bool:
    """RFC 9110 §13.2.2: the tag decides where one is sent, the date only where none is."""
    if (tags := request.headers.get("if-none-match")) is not None:
        return etag in {tag.strip().removeprefix("W/") for tag in tags.split(",")} or tags.strip() == "*"
    since = _date_of(request.headers.get("if-modified-since", ""))
    return since is not None and changed_at is not None and changed_at.replace(microsecond=0) <= since


def _date_of(header: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(header)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


routes = [
    Route("/tb/feed.xml", feed),
    Route("/tb/embed", embed),
]
