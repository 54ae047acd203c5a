"""What Telegram tells, in our words; what is kept of it, and what is not."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from adapters.contract import (
    BadSignature,
    Button,
    ButtonPressed,
    ChatKind,
    ChatMovedTo,
    ChatRef,
    FileKind,
    FileRef,
    MessageReceived,
    Sender,
    Standing,
    StandingChanged,
)
from adapters.telegram import build
from tests.adapters.telegram.conftest import (
    PRESSED_AT,
    SECRET,
    a_notice,
    changed,
    inbound,
    opening,
    parsed,
    settings,
    update,
    updates,
)

GROUP = ChatRef("-1001000000001", ChatKind.GROUP, "Thôn Đoàn Kết")
PRIVATE = ChatRef("5001", ChatKind.PRIVATE)
AT = datetime.fromtimestamp(1795300000, UTC)
WHO = Sender("5001", "Người Dân")


def message(chat=PRIVATE, text="", **changes):
    known: dict[str, Any] = {"event_id": "700000001", "sender": WHO, "message_id": "41", "at": AT}
    return MessageReceived(**(known | {"chat": chat, "text": text} | changes))


def stands(standing, chat=GROUP):
    return StandingChanged(event_id="700000001", chat=chat, sender=WHO, standing=standing, at=AT)


PRESS = ButtonPressed(
    event_id="700000001",
    chat=GROUP,
    sender=WHO,
    message_id="7",
    token="ack:12:3",
    press_id="4382bfdwdsb323b2d9",
    at=PRESSED_AT,
)
MOVED = ChatMovedTo(
    event_id="700000001", chat=ChatRef("-55", ChatKind.GROUP, "Thôn Đoàn Kết"), new_id="-1001000000009", at=AT
)
PHOTO = FileRef("large", FileKind.PHOTO, "", "image/jpeg", 190_000)
DOCUMENT = FileRef("doc", FileKind.DOCUMENT, "Công văn số 12.pdf", "application/pdf", 84_211)
VOICE = FileRef("voi", FileKind.VOICE, "", "audio/ogg", 48_211)
SMALL = FileRef("p", FileKind.PHOTO, "", "image/jpeg", 0)

# name of the recorded update: (is it kept, what happened)
KNOWN = {
    "private_text": (True, [message(text="Thủ tục khai sinh 👶?")]),
    "private_start": (True, [message(text="/start h_9fQ2")]),
    "private_sticker": (True, [message()]),
    "private_pinned": (True, []),
    "private_forwarded_photo": (True, [message(text="Lịch cắt điện", files=(PHOTO,))]),
    "private_document": (True, [message(files=(DOCUMENT,))]),
    "private_voice": (True, [message(files=(VOICE,))]),
    "group_command": (True, [message(GROUP, "/dangky  K7Q4")]),
    "group_command_bare": (True, [message(GROUP, "/baocao")]),
    "group_command_other": (False, [message(GROUP, "/baocao@other_bot", addressed=False)]),
    "group_mention": (True, [message(GROUP, "đăng ký khai sinh ở đâu?")]),
    "group_mention_late": (True, [message(GROUP, "👶🏽 hỏi @loaban_bot chút")]),
    "group_mention_other": (False, [message(GROUP, "@loaban_bot2 ơi", addressed=False)]),
    "group_caption_mention": (True, [message(GROUP, "tin này thật không", files=(SMALL,))]),
    "group_reply": (True, [message(GROUP, "cảm ơn", reply_to="7")]),
    "group_reply_other_bot": (False, [message(GROUP, "cảm ơn", reply_to="7", addressed=False)]),
    "group_chatter": (False, [message(GROUP, "Chiều nay ai đi chợ không?", addressed=False)]),
    "group_forum_topic": (False, [message(GROUP, "trong chủ đề", addressed=False)]),
    "group_anonymous_admin": (
        True,
        [message(GROUP, "/dangky K7Q4", sender=Sender("-1001000000001", "Thôn Đoàn Kết"))],
    ),
    "group_other_bot": (False, []),
    "group_joined": (False, []),
    "press": (True, [PRESS]),
    "press_old": (True, [PRESS]),
    "press_inline": (True, []),
    "standing_member": (True, [stands(Standing.MEMBER)]),
    "standing_admin": (True, [stands(Standing.ADMIN)]),
    "standing_muted": (True, [stands(Standing.MUTED)]),
    "standing_restricted": (True, [stands(Standing.MEMBER)]),
    "standing_restricted_left": (True, [stands(Standing.GONE)]),
    "standing_kicked": (True, [stands(Standing.GONE)]),
    "standing_left": (True, [stands(Standing.GONE)]),
    "standing_blocked": (True, [stands(Standing.GONE, PRIVATE)]),
    "standing_channel": (False, []),
    "moved_to": (True, [MOVED]),
    "moved_from": (True, [MOVED]),
    "channel_post": (False, []),
    "edited": (False, []),
    "future_kind": (False, []),
    "future_chat_type": (False, []),
}


def test_every_recorded_update_has_its_line():
    assert sorted(KNOWN) == updates()


@pytest.mark.parametrize("name", KNOWN)
def test_an_update_becomes_what_happened(named_bot, name):
    assert parsed(named_bot, name) == KNOWN[name][1]


@pytest.mark.parametrize("name", KNOWN)
def test_only_what_is_meant_for_us_is_kept(named_bot, name):
    kept = named_bot.identify(inbound(update(name)))
    assert [one.event_id for one in kept] == (["700000001"] if KNOWN[name][0] else [])
    assert [one.body for one in kept] == [update(name)] * len(kept)


@pytest.mark.parametrize(
    ("name", "chat"),
    [
        ("private_text", "5001"),
        ("group_command", "-1001000000001"),
        ("press_old", "-1001000000001"),
        ("press_inline", ""),
        ("standing_kicked", "-1001000000001"),
        ("moved_from", "-1001000000009"),
    ],
)
def test_events_of_one_chat_can_be_kept_in_order(bot, name, chat):
    [kept] = bot.identify(inbound(update(name)))
    assert kept.chat == chat


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("group_command", True),
        ("group_command_other", True),
        ("group_command_bare", True),
        ("group_mention", False),
        ("group_chatter", False),
    ],
)
def test_before_the_bot_knows_its_name_every_command_is_kept(bot, name, kept):
    assert bool(bot.identify(inbound(update(name)))) is kept


def test_a_reply_to_us_is_known_by_the_number_in_the_token(bot):
    assert bot.identify(inbound(update("group_reply")))
    assert not bot.identify(inbound(update("group_reply_other_bot")))


@pytest.mark.parametrize(
    ("body", "chat"),
    [
        pytest.param(b"", "", id="empty"),
        pytest.param(b"\xff\x00", "", id="bytes"),
        pytest.param(b"[]", "", id="list"),
        pytest.param(b"null", "", id="null"),
        pytest.param(b'{"message":{}}', "", id="no id"),
        pytest.param(b'{"update_id":"7"}', "", id="an id that is text"),
        pytest.param(b'{"update_id":true}', "", id="an id that is a truth"),
        pytest.param(b"[" * 200_000, "", id="deeply nested"),
        pytest.param(b"9" * 9_000, "", id="a long number"),
    ],
)
def test_a_body_that_cannot_be_read_is_kept_whole_and_once(bot, body, chat):
    [first], [second] = bot.identify(inbound(body)), bot.identify(inbound(body))
    assert first == second
    assert first.body == body
    assert first.event_id.startswith("sha256:")
    with pytest.raises(ValueError, match="not an update"):
        bot.parse(body)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param({"date": None}, id="no date"),
        pytest.param({"date": "soon"}, id="a date in words"),
        pytest.param({"date": 10**30}, id="a date beyond all time"),
        pytest.param({"chat": {"type": "private"}}, id="a chat without an id"),
        pytest.param({"from": {"id": 1}}, id="an author without a name"),
        pytest.param({"from": None}, id="no author"),
        pytest.param({"entities": [{"type": "mention"}]}, id="an entity without a place"),
        pytest.param({"entities": 7, "text": "@x"}, id="entities that are a number"),
        pytest.param({"photo": [{"file_id": 1}], "text": None}, id="a photo without a size"),
        pytest.param({"reply_to_message": "x"}, id="a reply to a word"),
    ],
)
def test_poison_is_a_value_error_and_stays_recognisable(named_bot, content):
    body = changed("private_text", **content)
    [kept] = named_bot.identify(inbound(body))
    assert kept.event_id == "700000001"
    with pytest.raises(ValueError, match="not an update"):
        named_bot.parse(body)


@pytest.mark.parametrize("content", [{"entities": 7}, {"entities": [{}]}, {"reply_to_message": 7}, {"chat": None}])
def test_a_group_message_of_a_strange_shape_stops_nobody(named_bot, content):
    body = changed("group_chatter", **content)
    assert [one.event_id for one in named_bot.identify(inbound(body))] == ["700000001"]


def test_characters_that_break_a_store_are_taken_out(bot):
    body = changed("private_text", text="a\x00b\ud800c").replace(b'"Ng', b'"\\ud800Ng')
    [event] = bot.parse(body)
    assert (event.text, event.sender.name) == ("abc", "Người Dân")


# Who may tell us anything.


@pytest.mark.parametrize("shown", [SECRET[:-1], SECRET.upper(), "", "mật", None])
def test_only_the_secret_opens_the_door(bot, shown):
    bot.verify(inbound(update("private_text")))
    with pytest.raises(BadSignature):
        bot.verify(inbound(update("private_text"), shown))


def test_without_a_secret_nobody_is_believed():
    nameless = build(settings(bot_token="1:a", webhook_secret=""), opening())
    for shown in ("", None):
        with pytest.raises(BadSignature):
            nameless.verify(inbound(b"", shown))


async def test_what_the_stand_in_tells_is_what_telegram_would(stub, named_bot):
    """Its updates go through the same parser as the recorded ones."""
    [chat] = await stub.control.groups(type="group")
    sent = await named_bot.send(a_notice(chat, buttons=((Button("Đã nắm", "ack:1"),),)))
    told = [
        await stub.control.stand(chat, "administrator"),
        await stub.control.stand(chat, "restricted", can_write=False),
        await stub.control.stand(chat, "kicked"),
        await stub.control.stand(chat, "member"),
        await stub.control.say(chat, "👶 @loaban_bot hỏi"),
        await stub.control.say(chat, "/dangky@loaban_bot K7"),
        await stub.control.say(chat, "vâng", reply_to=int(sent.message_id)),
        await stub.control.press(chat, int(sent.message_id)),
        await stub.control.press(chat, int(sent.message_id), inaccessible=True),
        *(await stub.control.migrate(chat))["told"],
    ]
    events = [event for one in told for event in named_bot.parse(json.dumps(one["update"]).encode())]
    assert [type(event).__name__ for event in events] == [
        *["StandingChanged"] * 4,
        *["MessageReceived"] * 3,
        *["ButtonPressed"] * 2,
        *["ChatMovedTo"] * 2,
    ]
    assert [event.standing for event in events[:4]] == [
        Standing.ADMIN,
        Standing.MUTED,
        Standing.GONE,
        Standing.MEMBER,
    ]
    assert [event.text for event in events[4:7]] == ["👶 @loaban_bot hỏi", "/dangky K7", "vâng"]
    assert all(event.addressed for event in events[4:7])
    assert {(event.chat.id, event.new_id) for event in events[-2:]} == {(str(chat), events[-1].new_id)}
