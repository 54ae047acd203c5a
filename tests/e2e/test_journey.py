"""What people do in chats, from the first word to the figures, over Telegram's stand-in."""

import re

import pytest

from store.tables import RoleName
from tests.e2e.service import until
from tests.e2e.town import Town, a_town, buttons, words

pytestmark = pytest.mark.e2e

CODE = re.compile(r"TB-[0-9A-Z]{4}")
HTTPS = "https://loa.xa.example"


async def test_a_head_ties_the_group_sends_a_notice_watches_it_and_ticks_the_house_told_in_person(tmp_path):
    async with a_town(tmp_path, villages=2, environment={"LOA_PUBLIC_URL": HTTPS}, listens=False) as town:
        control, head, resident = town.stub.control, town.new_user(), town.new_user()
        await until(lambda: is_registered(town), "webhook and commands are registered")
        state = await control.bot_state()
        assert state["webhook"]["url"] == f"{HTTPS}/webhooks/telegram/main"
        assert set(state["webhook"]["allowed_updates"]) == {"message", "callback_query", "my_chat_member"}
        shown = {one["scope"]: {command["command"] for command in one["commands"]} for one in state["commands"]}
        assert {"thongbao", "baocao", "chuanam", "huy"} <= shown["all_private_chats"]
        assert "dangky" in shown["all_group_chats"]
        assert "thongbao" not in shown["all_group_chats"]
        await town.listen()  # the public address leads nowhere from here

        households = await town.add_households("ban-1", 3)
        person = await town.add_person("Trưởng bản 1", RoleName.VILLAGE_HEAD, town.villages["ban-1"])
        viewer = await town.official()

        # The account is tied to the person, the group to the village.
        await town.says(head, "/thongbao", hears="/lienket")
        await town.says(head, f"/lienket {await town.link_code(person)}", hears="Đã liên kết: Trưởng bản 1")
        [group] = await control.groups(1, standing="left")
        await control.stand(group, "member", user=resident)
        await town.heard(group, "chưa nối với bản nào")
        code = await town.bind_code(person, "ban-1")
        await town.says(resident, f"/dangky {code}", chat=group, hears="chưa được giao bản này")
        await town.says(head, f"/dangky@{state['username']} {code}", chat=group, hears="Đã nối nhóm này với Bản 1")
        await town.says(head, f"/dangky {code}", chat=group, hears="Mã không đúng, đã dùng rồi")
        before = len(await town.posts(group))

        # Ordinary talk in the group is nobody's business; an unknown command gets a line in private alone.
        await control.say(group, "Tối nay ăn gì?", user=resident)
        await control.say(group, "/thoitiet", user=resident)
        await town.says(resident, "/thoitiet", hears="/trogiup")

        # The notice: words, preview as residents will see it, one button, one message of progress.
        await town.says(head, "/thongbao", hears="gõ nội dung")
        await town.says(head, "Chiều nay dọn đường vào bản, mỗi hộ một người.", hears="Bà con sẽ thấy như trên")
        private = await town.posts(head)
        preview = next(post for post in private if "photo" in post)
        control_message = private[-1]
        assert "✅ Gửi đi" in buttons(control_message)
        assert await town.presses(resident, head, preview["message_id"]) == "Đây là bản xem trước, chưa gửi cho bà con."
        assert await town.presses(head, head, control_message["message_id"], "Gửi đi") == "Đang gửi…"
        notice = await town.heard(group, "Chiều nay dọn đường", after=before)
        assert (words(notice), notice["photo"][-1]["width"]) == (words(preview), preview["photo"][-1]["width"])
        notice_code = CODE.findall(words(notice))[-1]
        assert f"{HTTPS}/tb/{notice_code}" in words(notice)
        await town.heard(head, f"✅ {notice_code}: đã gửi 1/1 nhóm")
        assert len(await town.posts(group)) == before + 1
        progress = [post for post in await town.posts(head) if f"{notice_code}: đã gửi" in words(post)]
        assert len(progress) == 1

        # A resident presses: asked for the household once, then counted for it.
        told = await town.presses(resident, group, notice["message_id"], "Đã nắm")
        assert "Đã ghi tài khoản của bác: đã nắm" in told
        assert "số hộ" in told
        await town.says(resident, "hộ 2", hears="Đã gắn tài khoản này với hộ số 2, Bản 1")
        again = await town.presses(resident, group, notice["message_id"], "Đã nắm")
        assert again.startswith("Hộ số 2 đã được ghi rồi")
        assert "1/3 hộ" in again
        await until(lambda: shows(town, group, notice["message_id"], "✅ Đã nắm · 1/3 hộ"), "the count on the button")

        # The head sees who is missing, and ticks the house told in person.
        await town.says(head, "/baocao", hears="1/3 hộ")
        await town.says(resident, "/baocao", chat=group, hears="Đã nắm: 1/3 hộ")
        missing = await town.says(head, f"/chuanam {notice_code}", hears="còn 2/3 hộ chưa nắm")
        assert buttons(missing) == ["Hộ 1", "Hộ 3"]
        ticked = await town.presses(head, head, missing["message_id"], "Hộ 3")
        assert ticked == "Đã ghi: hộ số 3 đã được báo tận nơi."
        await town.heard(head, "còn 1/3 hộ chưa nắm")
        await town.says(resident, "/chuanam", hears="Việc này của trưởng bản")

        figures = (await town.reach(viewer, notice_code))["total"]
        assert (figures["acknowledged_households"], figures["households"]) == (2, 3)
        assert (figures["grades"]["number"], figures["grades"]["head"], figures["grades"]["card"]) == (1, 1, 0)
        assert figures["seen"] is None
        assert "seen" in figures["not_measurable"]
        table = await town.http.get(
            f"{town.service.url}/api/v1/notices/{notice_code}/reach.csv", headers={"authorization": f"Bearer {viewer}"}
        )
        assert "không đo được" in table.content.decode("utf-8-sig")

        # A card is better evidence than a typed number.
        await town.says(resident, f"/start h_{await town.card(households[1])}", hears="hộ số 2")
        figures = (await town.reach(viewer, notice_code))["total"]
        assert (figures["grades"]["card"], figures["grades"]["number"]) == (1, 0)
        assert town.service.errors() == []
        await town.service.stop()


async def test_an_official_writes_to_the_whole_commune_and_a_second_person_releases_it_by_a_button(tmp_path):
    async def furnish(town: Town) -> None:
        for village in town.villages:
            await town.add_groups(village, 2)

    async with a_town(tmp_path, villages=3, before=furnish, environment={"LOA_APPROVAL": "commune,urgent"}) as town:
        author, approver, own_token = town.new_user(), town.new_user(), ""
        for user, name in ((author, "Cán bộ văn hoá"), (approver, "Phó chủ tịch")):
            person = await town.add_person(name, RoleName.OFFICIAL, town.commune)
            own_token = own_token or await town.token(person)
            await town.says(user, f"/start l_{await town.link_code(person)}", hears=f"Đã liên kết: {name}")
        groups = [group for village in town.groups.values() for group in village]

        ask = await town.says(author, "/thongbao Ngày mai cắt nước toàn xã từ 8 giờ.", hears="Gửi tới bản nào?")
        assert await town.presses(author, author, ask["message_id"], "Chọn tất cả") == "Đã chọn 3/3 bản"
        await until(lambda: shows(town, author, ask["message_id"], "☑ 1. Bản 1"), "what is chosen")
        await town.presses(author, author, ask["message_id"], "Tiếp")
        summary = await town.heard(author, "cần người thứ hai duyệt")
        assert "6 nhóm" in words(summary)
        await town.presses(author, author, summary["message_id"], "Gửi đi")
        await town.heard(author, "Duyệt xong")

        question = await town.heard(approver, "Chờ bác duyệt")
        code = CODE.findall(words(question))[0]
        assert any("cắt nước toàn xã" in text for text in await town.texts(approver))
        assert [await town.posts(group) for group in groups] == [[]] * 6
        refused = await town.http.post(
            f"{town.service.url}/api/v1/notices/{code}/approve", headers={"authorization": f"Bearer {own_token}"}
        )
        assert refused.status_code == 403
        assert await town.posts(groups[0]) == []

        told = await town.presses(approver, approver, question["message_id"], "Duyệt và phát")
        assert told.startswith(f"{code}: Phó chủ tịch đã duyệt")
        for group in groups:
            await town.heard(group, "cắt nước toàn xã")
        await town.heard(author, f"✅ {code}: đã gửi 6/6 nhóm")
        await town.heard(approver, f"{code}: Phó chủ tịch đã duyệt")
        assert buttons(await town.heard(approver, f"{code}: Phó chủ tịch đã duyệt")) == []
        assert [len(await town.posts(group)) for group in groups] == [1] * 6
        assert town.service.errors() == []


async def is_registered(town: Town) -> bool:
    state = await town.stub.control.bot_state()
    return bool(state["webhook"]["url"]) and len(state["commands"]) == 4


async def shows(town: Town, chat: int, message_id: int, label: str) -> bool:
    found = next(post for post in await town.posts(chat) if post["message_id"] == message_id)
    return label in buttons(found)
