"""What residents get: the text whole, its formatting, buttons and files."""

import unicodedata
from typing import Any

import pytest

from adapters.contract import (
    AnswersPresses,
    Button,
    Can,
    ChatKind,
    Command,
    CountsMembers,
    Deletes,
    Edits,
    FetchesFiles,
    FileKind,
    FileRef,
    Identity,
    LinksToEnrol,
    NotSent,
    OutFile,
    Pins,
    RegistersItself,
    Rejected,
)
from adapters.text import Span, Style, bold, plain
from tests.adapters.telegram.conftest import SECRET, a_notice, group

BUTTONS = ((Button("✅ Đã nắm", "ack:12:3"),), (Button("Xem", url="https://xa.gov.vn/tb/TB-4K7Q"),))


def a_file(kind=FileKind.DOCUMENT, **changes):
    known: dict[str, Any] = {
        "kind": kind,
        "name": "Công văn số 12.pdf",
        "media_type": "application/pdf",
        "content": b"%PDF-1.7 ...",
    }
    return OutFile(**(known | changes))


async def shown(stub, chat):
    return [one["message"] for one in await stub.control.messages(chat)]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Giá_điện *tăng* [từ 1/12] <b>&amp; `2.530.000` đ", id="marks of every markup"),
        pytest.param("🏡👨‍👩‍👧‍👦🇻🇳 họp thôn", id="emoji"),
        pytest.param(unicodedata.normalize("NFD", "Thủ tục khai sinh ở xã"), id="NFD"),
        pytest.param("a" * 4096, id="as long as may be"),
        pytest.param("🏡" * 2048, id="as long as may be, in emoji"),
        pytest.param("1\n\n2\t3", id="white space inside"),
    ],
)
async def test_a_text_arrives_whole(stub, bot, text):
    [chat] = await stub.control.groups()
    await bot.send(a_notice(chat, text=plain(text)))
    [message] = await shown(stub, chat)
    assert message["text"] == text
    assert "entities" not in message


async def test_formatting_is_where_it_belongs_though_emoji_count_twice(stub, bot):
    [chat] = await stub.control.groups()
    decomposed = unicodedata.normalize("NFD", "ở")
    await bot.send(
        a_notice(
            chat,
            text=(
                Span("🏡 "),
                bold("*Họp* 🇻🇳"),
                Span(f" {decomposed} "),
                Span("nhà", Style.ITALIC, "https://xa.gov.vn/?a=1&b=2"),
                bold("  "),
                Span("TB-4K7Q", Style.CODE),
            ),
        )
    )
    [message] = await shown(stub, chat)
    units = message["text"].encode("utf-16-le")
    marked = [
        (one["type"], units[2 * one["offset"] : 2 * (one["offset"] + one["length"])].decode("utf-16-le"))
        for one in message["entities"]
    ]
    assert marked == [("bold", "*Họp* 🇻🇳"), ("italic", "nhà"), ("text_link", "nhà"), ("code", "TB-4K7Q")]
    assert message["entities"][2]["url"] == "https://xa.gov.vn/?a=1&b=2"


async def test_buttons_come_back_to_us_or_open_a_page(stub, bot):
    [chat] = await stub.control.groups()
    await bot.send(a_notice(chat, buttons=BUTTONS))
    [message] = await shown(stub, chat)
    assert message["reply_markup"]["inline_keyboard"] == [
        [{"text": "✅ Đã nắm", "callback_data": "ack:12:3"}],
        [{"text": "Xem", "url": "https://xa.gov.vn/tb/TB-4K7Q"}],
    ]


async def test_an_answer_stands_even_when_what_it_answers_is_gone(stub, bot):
    [chat] = await stub.control.groups()
    first = await bot.send(a_notice(chat))
    await bot.send(a_notice(chat, reply_to=first.message_id, silent=True))
    await bot.delete(group(chat), first.message_id)
    await bot.send(a_notice(chat, reply_to=first.message_id))
    _, second, third = await shown(stub, chat)
    assert second["reply_to_message"]["message_id"] == int(first.message_id)
    assert "reply_to_message" not in third


@pytest.mark.parametrize("kind", FileKind)
async def test_a_file_is_uploaded_once_and_then_named(stub, bot, kind):
    chats = await stub.control.groups(2)
    first = await bot.send(a_notice(chats[0], file=a_file(kind), buttons=BUTTONS))
    again = a_file(kind, content=b"", ref=first.file_ref)
    second = await bot.send(a_notice(chats[1], file=again))
    assert first.file_ref == second.file_ref
    [stored] = stub.control.bot().files.values()
    assert stored.upload.content == b"%PDF-1.7 ..."
    assert stored.upload.name == "Công văn số 12.pdf"
    assert stored.upload.media_type == "application/pdf"
    [message] = await shown(stub, chats[0])
    assert message["caption"] == "Thông báo cắt điện"
    assert message.get("show_caption_above_media", False) is (kind is FileKind.PHOTO)


async def test_a_file_whose_name_telegram_forgot_is_uploaded_again(stub, bot):
    [chat] = await stub.control.groups()
    sent = await bot.send(a_notice(chat, file=a_file(ref="of-another-bot")))
    assert sent.file_ref in stub.control.bot().files
    assert len(await shown(stub, chat)) == 1


def a_png(width, height, size=100):
    head = b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4) + b"IHDR" + width.to_bytes(4) + height.to_bytes(4)
    return head.ljust(size, b"\0")


def a_jpeg(width, height):
    comment = b"\xff\xfe" + (12).to_bytes(2) + b"0123456789"
    frame = b"\xff\xff\xc2" + (11).to_bytes(2) + b"\x08" + height.to_bytes(2) + width.to_bytes(2) + b"\x01\x11\0"
    return b"\xff\xd8" + comment + frame + b"\xff\xda" + bytes(50)


@pytest.mark.parametrize(
    ("content", "method"),
    [
        pytest.param(a_png(5000, 5000), "sendphoto", id="as large as may be"),
        pytest.param(a_png(5001, 5000), "senddocument", id="sides too long"),
        pytest.param(a_jpeg(4000, 3000), "sendphoto", id="a phone's picture"),
        pytest.param(a_jpeg(8160, 6120), "senddocument", id="a good phone's picture"),
        pytest.param(a_jpeg(2001, 100), "senddocument", id="too narrow"),
        pytest.param(a_png(800, 600, 10_000_001), "senddocument", id="too many bytes"),
        pytest.param(b"GIF89a", "sendphoto", id="a kind that we cannot measure"),
        pytest.param(b"\xff\xd8\xff\xe0", "sendphoto", id="half a head"),
        pytest.param(a_jpeg(0, 0), "sendphoto", id="no size"),
    ],
)
async def test_a_picture_too_large_for_a_photo_goes_as_a_document(stub, bot, content, method):
    chats = await stub.control.groups(2)
    first = await bot.send(a_notice(chats[0], file=a_file(FileKind.PHOTO, content=content), buttons=BUTTONS))
    second = await bot.send(a_notice(chats[1], file=a_file(FileKind.PHOTO, content=content, ref=first.file_ref)))
    assert first.file_ref == second.file_ref
    assert [one.method for one in stub.control.seen] == [method] * 2
    assert len(stub.control.bot().files) == 1
    [message] = await shown(stub, chats[0])
    assert message["caption"] == "Thông báo cắt điện"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "Bad Request: PHOTO_INVALID_DIMENSIONS"),
        (400, "Bad Request: file is too big"),
        (413, "Request Entity Too Large"),
    ],
)
async def test_a_photo_that_is_refused_as_one_goes_as_a_document_once(stub, bot, status, words):
    [chat] = await stub.control.groups()
    await stub.control.fault(method="sendPhoto", status=status, description=words)
    sent = await bot.send(a_notice(chat, file=a_file(FileKind.PHOTO)))
    assert [one.method for one in stub.control.seen] == ["sendphoto", "senddocument"]
    [message] = await shown(stub, chat)
    assert (str(message["message_id"]), sent.file_ref) == (sent.message_id, "")
    await stub.control.fault(method="sendPhoto", status=status, description=words)
    await stub.control.fault(method="sendDocument", status=status, description=words)
    with pytest.raises(Rejected):
        await bot.send(a_notice(chat, file=a_file(FileKind.PHOTO)))


async def test_a_file_name_cannot_break_the_form(stub, bot):
    [chat] = await stub.control.groups()
    await bot.send(a_notice(chat, file=a_file(name='../a"b\r\nX-Evil: 1\\c.pdf')))
    [stored] = stub.control.bot().files.values()
    assert stored.upload.name == ".._a_b_X-Evil: 1_c.pdf"


@pytest.mark.parametrize("file", [None, a_file()])
async def test_text_that_is_no_text_is_rejected_before_it_leaves(stub, bot, file):
    [chat] = await stub.control.groups()
    with pytest.raises(Rejected):
        await bot.send(a_notice(chat, text=plain("a\ud800"), file=file))
    assert not await shown(stub, chat)


@pytest.mark.parametrize(
    ("file", "field", "method"),
    [
        (None, "text", "editmessagetext"),
        (a_file(), "caption", "editmessagecaption"),
        (a_file(FileKind.PHOTO), "caption", "editmessagecaption"),
    ],
)
async def test_an_edit_changes_text_and_buttons(stub, bot, file, field, method):
    [chat] = await stub.control.groups()
    sent = await bot.send(a_notice(chat, file=file, buttons=BUTTONS))
    await bot.edit(sent.message_id, a_notice(chat, file=file, text=(bold("Đính chính"),)))
    [logged] = await stub.control.messages(chat)
    assert logged["message"][field] == "Đính chính"
    assert "reply_markup" not in logged["message"]
    assert [edit["method"] for edit in logged["edits"]] == [method]


async def test_an_edit_without_text_changes_the_buttons_alone(stub, bot):
    [chat] = await stub.control.groups()
    sent = await bot.send(a_notice(chat))
    await bot.edit(sent.message_id, a_notice(chat, text=(), buttons=BUTTONS))
    [message] = await shown(stub, chat)
    assert message["text"] == "Thông báo cắt điện"
    assert len(message["reply_markup"]["inline_keyboard"]) == 2


async def test_the_presser_alone_is_answered(stub, bot):
    [chat] = await stub.control.groups()
    sent = await bot.send(a_notice(chat, buttons=BUTTONS))
    press = (await stub.control.press(chat, int(sent.message_id)))["press_id"]
    await bot.answer(press, "Đã ghi nhận. " * 40, alert=True)
    told = (await stub.control.presses())[press]["answer"]
    assert len(told["text"]) == 200
    assert told["show_alert"] is True
    with pytest.raises(Rejected):
        await bot.answer("unknown", "x", alert=False)


async def test_members_are_counted_without_ourselves(stub, bot):
    [chat] = await stub.control.groups(members=31)
    assert await bot.count_members(group(chat)) == 30


async def test_a_file_of_a_person_is_fetched(stub, bot):
    person = await stub.control.private(5001)
    file = {"kind": "voice", "name": "", "media_type": "audio/ogg", "base64": "T2dnUw=="}
    told = await stub.control.say(person, "", file=file)
    ref = FileRef(told["update"]["message"]["voice"]["file_id"], FileKind.VOICE)
    assert await bot.fetch(ref, limit=4) == b"OggS"
    with pytest.raises(Rejected):
        await bot.fetch(ref, limit=3)
    with pytest.raises(Rejected):
        await bot.fetch(FileRef("unknown", FileKind.VOICE), limit=4)
    with pytest.raises(Rejected):
        await bot.fetch(FileRef(ref.ref, FileKind.VOICE, size=5), limit=4)
    await bot.aclose()
    with pytest.raises(NotSent):
        await bot.fetch(ref, limit=4)


async def test_the_bot_introduces_itself(stub, bot):
    assert await bot.identity() == Identity("1000001", "Loa Bản", "stub1000001_bot")


async def test_registering_names_the_address_the_secret_and_the_commands(stub, bot):
    commands = [
        Command("thongbao", "Soạn thông báo", ChatKind.PRIVATE),
        Command("/dangky", "Gắn nhóm này với thôn", ChatKind.GROUP),
    ]
    await bot.register("https://loa.xa.gov.vn/webhooks/telegram/main", commands)
    state = await stub.control.bot_state()
    assert state["webhook"] == {
        "url": "https://loa.xa.gov.vn/webhooks/telegram/main",
        "secret": SECRET,
        "allowed_updates": ["message", "callback_query", "my_chat_member"],
        "max_connections": 40,
    }
    assert {(one["scope"], one["language"]): one["commands"][0]["command"] for one in state["commands"]} == {
        ("all_private_chats", ""): "thongbao",
        ("all_private_chats", "vi"): "thongbao",
        ("all_group_chats", ""): "dangky",
        ("all_group_chats", "vi"): "dangky",
    }
    await bot.register("", [])
    assert (await stub.control.bot_state())["webhook"] == state["webhook"]


@pytest.mark.parametrize(
    ("handle", "payload", "group_link", "expected"),
    [
        ("loaban_bot", "h_9fQ2-x", False, "https://t.me/loaban_bot?start=h_9fQ2-x"),
        ("@loaban_bot", "v1", True, "https://t.me/loaban_bot?startgroup=v1"),
    ],
)
def test_a_link_says_start_in_the_chat_it_opens(bot, handle, payload, group_link, expected):
    assert bot.link(handle, payload, group=group_link) == expected


@pytest.mark.parametrize("payload", ["", "a" * 65, "a b", "mã", "a&b", "a=b", "a\n"])
def test_a_link_takes_no_other_characters(bot, payload):
    with pytest.raises(ValueError, match="payload"):
        bot.link("loaban_bot", payload, group=False)


def test_what_it_says_it_can_it_can(bot):
    powers = {
        Can.EDIT: Edits,
        Can.DELETE: Deletes,
        Can.PIN: Pins,
        Can.FILES: FetchesFiles,
        Can.ANSWER_PRESS: AnswersPresses,
        Can.COUNT_MEMBERS: CountsMembers,
    }
    assert all(flag in bot.can and isinstance(bot, power) for flag, power in powers.items())
    assert not bot.can & (Can.TELL_READ | Can.TELL_DELIVERED | Can.SAFE_TO_REPEAT)
    assert isinstance(bot, RegistersItself)
    assert isinstance(bot, LinksToEnrol)


def test_limits_are_those_of_telegram_unless_they_are_off(bots):
    limited, free = bots().limits, bots(limits_off=True).limits
    assert (limited.per_second, limited.chat_gap.total_seconds(), limited.group_per_minute) == (30, 1, 20)
    assert (free.per_second, free.chat_gap.total_seconds(), free.group_per_minute) == (None, 0, None)
    assert (limited.text, limited.caption, limited.in_flight) == (free.text, free.caption, free.in_flight)
