"""What other pages may take from a commune: its feed, and the list that its portal frames."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from xml.etree import ElementTree

import pytest
import regex
from sqlmodel import select

from store.tables import Audience, Notice, NoticeRevision, NoticeState, Unit
from tests.api.conftest import PUBLIC, opened

NASTY = "Họp <b>bản</b> & \"chợ\" ]]> 'mai'\n\nĐoạn sau."
UNSAYABLE = "Họp\x00 bản\x08 \x1b[31mmai\ufffe\uffff 🔔\U0001f4e3"


async def feed(house, query="?xa=xa-mau"):
    answer = await house.browser().get(f"/tb/feed.xml{query}")
    assert answer.status_code == 200
    # expat is strict: whatever is not well-formed is refused.
    return ElementTree.fromstring(answer.content).findall("channel/item")  # noqa: S314 (our own)


def said(item, name):
    return item.findtext(name)


async def change(house, code, **changes):
    def write(session):
        notice = session.exec(select(Notice).where(Notice.code == code)).one()
        for name, value in changes.items():
            setattr(notice, name, value)
        session.add(notice)

    await house.write(write)


async def say_anew(house, code, body, *, at=None):
    """The notice's next revision."""

    def write(session):
        notice = session.exec(select(Notice).where(Notice.code == code)).one()
        notice.revision += 1
        session.add(notice)
        session.add(
            NoticeRevision(
                notice_id=notice.id,
                revision=notice.revision,
                body=body,
                body_hash="",
                author_id=notice.author_id,
                created_at=at or datetime.now(UTC),
            )
        )

    await house.write(write)


async def test_a_notice_of_the_commune_is_in_its_feed_with_every_word(house):
    code = (await house.notice(body=NASTY))["code"]
    [item] = await feed(house)
    assert said(item, "title") == NASTY.splitlines()[0]
    assert said(item, "description").startswith(NASTY)
    assert said(item, "description").endswith(f"— Ban của Xã Mẫu · Mã {code}")
    assert said(item, "link") == f"{PUBLIC}/tb/{code}"
    assert (said(item, "guid"), item.find("guid").get("isPermaLink")) == (code, "false")
    assert abs(parsedate_to_datetime(said(item, "pubDate")) - datetime.now(UTC)) < timedelta(minutes=1)
    assert item.find("category") is None


async def test_characters_that_xml_cannot_say_are_left_out(house):
    code = (await house.notice())["code"]
    await say_anew(house, code, UNSAYABLE)
    [item] = await feed(house)
    assert said(item, "title") == "[ĐÃ SỬA] Họp bản [31mmai 🔔📣"


async def test_the_newest_thirty_come_first(house):
    first = (await house.notice(body="Tin đầu."))["code"]
    await change(house, first, published_at=datetime.now(UTC) - timedelta(days=3))
    codes = [(await house.notice(body=f"Tin {n}."))["code"] for n in range(30)]
    assert [said(item, "guid") for item in await feed(house)] == codes[::-1]
    shown = await house.browser().get("/tb/embed?xa=xa-mau")
    assert len(shown.content) <= 10_000
    assert codes[-1] in shown.text
    assert first not in shown.text


async def test_what_is_not_the_communes_to_everybody_is_not_in_it(house):
    shown = (await house.notice())["code"]
    await house.notice("truong1", villages=["ban-1"])
    await house.notice("xakhac", villages="all")
    await house.notice(villages="all")  # waits for a second person
    to_some = (await house.notice())["code"]

    def give_to_an_audience(session):
        audience = Audience(unit_id=session.exec(select(Unit.id).where(Unit.code == "xa-mau")).one(), name="Chi hội")
        session.add(audience)
        session.flush()
        notice = session.exec(select(Notice).where(Notice.code == to_some)).one()
        notice.audience_id = audience.id
        session.add(notice)

    await house.write(give_to_an_audience)
    assert [said(item, "guid") for item in await feed(house)] == [shown]
    assert len(await feed(house, "?xa=xa-khac")) == 1


async def test_what_the_police_of_the_commune_say_is_in_it(house):
    await house.notice("congan", kind="scam_warning")
    assert len(await feed(house)) == 1


async def test_a_correction_keeps_its_place_and_says_so(house):
    code = (await house.notice(body="Mai họp 8 giờ."))["code"]
    await say_anew(house, code, "Mai họp 9 giờ.")
    [item] = await feed(house)
    assert said(item, "title") == "[ĐÃ SỬA] Mai họp 9 giờ."
    assert said(item, "guid") == code
    assert "9 giờ" in said(item, "description")
    assert item.find("{http://www.w3.org/2005/Atom}updated") is not None
    assert "[ĐÃ SỬA]" in (await house.browser().get("/tb/embed?xa=xa-mau")).text


async def test_what_was_recalled_is_listed_under_what_it_once_said(house):
    code = (await house.notice(body="Mai họp 8 giờ."))["code"]
    await say_anew(house, code, "Thông báo này đã được thu hồi.")
    await change(house, code, state=NoticeState.RECALLED)
    [item] = await feed(house)
    assert said(item, "title") == "[ĐÃ THU HỒI] Mai họp 8 giờ."
    assert said(item, "description").startswith("Thông báo này đã được thu hồi.")


async def test_an_urgent_one_is_a_category(house):
    code = (await house.notice())["code"]
    await change(house, code, is_urgent=True)
    [item] = await feed(house)
    assert said(item, "category") == "Khẩn"
    assert "Khẩn" in (await house.browser().get("/tb/embed?xa=xa-mau")).text


@pytest.mark.parametrize("path", ["/tb/feed.xml", "/tb/embed"])
async def test_it_must_be_said_which_commune_is_meant_where_there_are_several(house, path):
    answer = await house.browser().get(path)
    assert answer.status_code == 404
    assert "?xa=" in answer.text
    assert (await house.browser().get(f"{path}?xa=khong-co")).status_code == 404
    assert (await house.browser().get(f"{path}?xa=ban-1")).status_code == 404


@pytest.mark.parametrize("path", ["/tb/feed.xml?xa=xa-mau", "/tb/embed?xa=xa-mau"])
async def test_who_has_it_already_is_not_sent_it_again(house, path):
    code = (await house.notice())["code"]
    browser = house.browser()
    first = await browser.get(path)
    assert first.headers["cache-control"] == "public, max-age=60"
    etag, changed = first.headers["etag"], first.headers["last-modified"]
    for headers in (
        {"if-none-match": etag},
        {"if-none-match": f'"other", W/{etag}'},
        {"if-modified-since": changed},
        {"if-none-match": etag, "if-modified-since": "Mon, 01 Jan 2001 00:00:00 GMT"},
    ):
        again = await browser.get(path, headers=headers)
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag), headers
    for headers in (
        {"if-none-match": '"other"', "if-modified-since": changed},
        {"if-modified-since": "Mon, 01 Jan 2001 00:00:00 GMT"},
        {"if-modified-since": "yesterday"},
    ):
        assert (await browser.get(path, headers=headers)).status_code == 200, headers
    await say_anew(house, code, "Mai họp 9 giờ.", at=datetime.now(UTC) + timedelta(seconds=5))
    for headers in ({"if-none-match": etag}, {"if-modified-since": changed}):
        assert (await browser.get(path, headers=headers)).status_code == 200, "it was corrected"


async def test_an_empty_feed_is_a_feed(house):
    assert await feed(house) == []
    assert "Chưa có thông báo nào" in (await house.browser().get("/tb/embed?xa=xa-mau")).text
    since = {"if-modified-since": format_datetime(datetime.now(UTC), usegmt=True)}
    assert (await house.browser().get("/tb/feed.xml?xa=xa-mau", headers=since)).status_code == 200


async def test_only_the_list_may_be_framed_and_it_knows_nobody(house):
    await house.notice(body=NASTY)
    browser = await house.signed_in("canbo")
    shown = await browser.get("/tb/embed?xa=xa-mau")
    assert "frame-ancestors *" in shown.headers["content-security-policy"]
    assert "x-frame-options" not in shown.headers
    assert "set-cookie" not in shown.headers
    assert shown.headers["x-content-type-options"] == "nosniff"
    assert "<script" not in shown.text
    assert "Cán bộ" not in shown.text
    links = regex.findall(r"<a [^>]*>", shown.text)
    assert links
    for words in ('target="_blank"', 'rel="noopener"', f'href="{PUBLIC}/tb/'):
        assert all(words in link for link in links), words
    other = await browser.get("/tb/feed.xml?xa=xa-mau")
    assert other.headers["x-frame-options"] == "DENY"
    assert "set-cookie" not in other.headers


async def test_a_house_without_an_address_gives_codes_and_no_links(tmp_path):
    async with opened(tmp_path, public_url="") as house:
        code = (await house.notice())["code"]
        [item] = await feed(house)
        assert item.find("link") is None
        assert said(item, "guid") == code
        assert f'href="/tb/{code}"' in (await house.browser().get("/tb/embed?xa=xa-mau")).text


async def test_the_front_page_names_the_feeds(house):
    page = (await house.browser().get("/")).text
    addresses = regex.findall(r'<link rel="alternate" type="application/rss\+xml"[^>]* href="([^"]+)">', page)
    assert addresses == ["/tb/feed.xml?xa=xa-mau", "/tb/feed.xml?xa=xa-khac"]
    for address in addresses:
        assert (await house.browser().get(address)).headers["content-type"] == "application/rss+xml; charset=utf-8"


async def test_an_admin_finds_what_to_paste_into_the_portal(house):
    page = (await (await house.signed_in("quantri")).get("/console/system")).text
    assert f'&lt;iframe src="{PUBLIC}/tb/embed?xa=xa-mau"' in page
    assert "xa-khac" not in page
