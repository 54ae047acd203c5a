"""What the web chat's page writes down, and what the house understands of it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from adapters.contract import (
    BadSignature,
    ButtonPressed,
    ChatKind,
    ChatRef,
    FileKind,
    FileRef,
    Inbound,
    LinksToEnrol,
    MessageReceived,
    Opening,
    RawEvent,
    ReceiptArrived,
    ReceiptKind,
    Sender,
)
from adapters.webchat import Settings, build

AT = datetime(2026, 11, 21, 1, 5, tzinfo=UTC)
GROUP, PRIVATE = ChatRef("g:ban-a", ChatKind.GROUP, "Bản A"), ChatRef("p:5e", ChatKind.PRIVATE)

NO_ROOMS: Any = None
"""What comes in needs none."""
VOICE = {"ref": "4", "kind": "voice", "name": "a.ogg", "type": "audio/ogg", "size": 9}


@pytest.fixture
def adapter():
    return build(Settings(), Opening(channel="main", public_url="https://loa.example", rooms=NO_ROOMS, hands=NO_ROOMS))


def body(kind, room="g:ban-a", title="Bản A", **rest):
    told = {"kind": kind, "id": "u:7:abc", "room": room, "title": title, "from": "5e", "at": AT.isoformat()}
    return json.dumps(told | rest).encode()


def said(text, **rest):
    return body("message", message="12", text=text, **rest)


def message(text, chat=GROUP, **rest):
    fields: dict[str, Any] = {"event_id": "u:7:abc", "sender": Sender("5e"), "message_id": "12", "at": AT} | rest
    return MessageReceived(chat=chat, text=text, **fields)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        pytest.param(said("/baocao"), [message("/baocao")], id="a command in a group"),
        pytest.param(said("/baocao@loa"), [message("/baocao")], id="a command with our name"),
        pytest.param(said("/thongbao Họp lúc 8 giờ"), [message("/thongbao Họp lúc 8 giờ")], id="a command with words"),
        pytest.param(said("@Loa, hôm nay họp ở đâu?"), [message("hôm nay họp ở đâu?")], id="our name first is cut off"),
        pytest.param(said("cho hỏi @loa nhé"), [message("cho hỏi @loa nhé")], id="our name within stays"),
        pytest.param(
            said("e-mail a@loa.vn"), [message("e-mail a@loa.vn", addressed=False)], id="an address is no mention"
        ),
        pytest.param(
            said("vâng", reply_to="9", reply_to_us=True), [message("vâng", reply_to="9")], id="a reply to our message"
        ),
        pytest.param(
            said("vâng", reply_to="9", reply_to_us=False),
            [message("vâng", reply_to="9", addressed=False)],
            id="a reply to a neighbour",
        ),
        pytest.param(said("họp chưa bà con"), [message("họp chưa bà con", addressed=False)], id="talk among residents"),
        pytest.param(
            said("xin chào", room="p:5e", title=""),
            [message("xin chào", PRIVATE)],
            id="all of a private room is for us",
        ),
        pytest.param(
            said("/hoi Ho\u0323p\r\nba\u0309n\x07 "),
            [message("/hoi Họp\nbản")],
            id="NFD, control characters, blank ends",
        ),
        pytest.param(
            said("", room="p:5e", title="", files=[VOICE]),
            [message("", PRIVATE, files=(FileRef("4", FileKind.VOICE, "a.ogg", "audio/ogg", 9),))],
            id="a voice recording",
        ),
        pytest.param(
            body("press", message="12", token="a:TB-4K7Q:got_it~1f", press="3.12.7.abc"),
            [
                ButtonPressed(
                    event_id="u:7:abc",
                    chat=GROUP,
                    sender=Sender("5e"),
                    message_id="12",
                    token="a:TB-4K7Q:got_it~1f",
                    press_id="3.12.7.abc",
                    at=AT,
                )
            ],
            id="a button",
        ),
        pytest.param(
            body("read", messages=["12", "15"]),
            [
                ReceiptArrived(
                    event_id=f"u:7:abc:{post}",
                    chat=GROUP,
                    sender=Sender("5e"),
                    message_id=post,
                    kind=ReceiptKind.READ,
                    at=AT,
                )
                for post in ("12", "15")
            ],
            id="two posts were on the screen",
        ),
        pytest.param(body("wave"), [], id="a kind of a later version"),
    ],
)
def test_what_the_page_writes_is_understood(adapter, told, expected):
    assert list(adapter.parse(told)) == expected


@pytest.mark.parametrize(
    "told",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff\xfe{", id="no UTF-8"),
        pytest.param(b"[1, 2]", id="no object"),
        pytest.param(b"[" * 100_000, id="nested without end"),
        pytest.param(b'{"kind": "message"}', id="fields missing"),
        pytest.param(body("message", message="1", text=5), id="a number for a text"),
        pytest.param(body("press", room="x:1", message="1", token="t", press="p"), id="no such kind of room"),
        pytest.param(
            said("/a", files=[{"ref": "1", "kind": "film", "name": "", "type": "", "size": 0}]), id="no such file"
        ),
    ],
)
def test_a_broken_body_is_a_value_error(adapter, told):
    with pytest.raises(ValueError, match="not as our page writes it"):
        adapter.parse(told)


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        pytest.param(said("/baocao"), True, id="command"),
        pytest.param(said("chào @loa"), True, id="mention"),
        pytest.param(said("vâng", reply_to_us=True), True, id="reply to us"),
        pytest.param(said("chào", room="p:5e"), True, id="private"),
        pytest.param(body("press", message="1", token="t", press="p"), True, id="press"),
        pytest.param(said("chào bà con"), False, id="talk"),
    ],
)
def test_talk_among_residents_is_no_event(adapter, told, kept):
    events = adapter.identify(Inbound({}, told))
    assert [event.body for event in events] == ([told] if kept else [])
    assert all(event == RawEvent("u:7:abc", json.loads(told)["room"], told) for event in events)


@pytest.mark.parametrize("told", [b"", b"[]", b"{}", b"null", b'{"kind":"message","id":"1","room":5}'])
def test_what_cannot_be_read_is_kept_whole_under_one_name(adapter, told):
    first, again = adapter.identify(Inbound({}, told)), adapter.identify(Inbound({}, told))
    assert first == again
    assert [event.body for event in first] == [told]


def test_nobody_posts_events_from_outside(adapter):
    with pytest.raises(BadSignature):
        adapter.verify(Inbound({"content-type": "application/json"}, said("/baocao")))


@pytest.mark.parametrize(
    ("public_url", "group", "expected"),
    [
        ("https://loa.example", False, "https://loa.example/chat?start=h_3.x~y"),
        ("https://loa.example", True, "https://loa.example/chat?startgroup=h_3.x~y"),
        ("", False, "/chat?start=h_3.x~y"),
    ],
)
def test_a_link_leads_to_the_list_of_villages(public_url, group, expected):
    adapter = build(Settings(), Opening(channel="main", public_url=public_url, rooms=NO_ROOMS, hands=NO_ROOMS))
    assert isinstance(adapter, LinksToEnrol)
    assert adapter.link("", "h_3.x~y", group=group) == expected
