"""What is pinned in a group that is reached by hand promises only what is there."""

from sqlmodel import select

from bot.setup import setup_words
from store.tables import Unit
from tests.api.conftest import PUBLIC, opened


async def words(house):
    def look(session):
        village = session.exec(select(Unit).where(Unit.code == "ban-1")).one()
        return setup_words(session, house.runtime.house, village, None)

    return await house.read(look)


async def test_every_address_that_is_pinned_opens(house):
    told = await words(house)
    assert f"hỏi riêng: mở {PUBLIC}/chat/ban-1/private," in told.pin.lower()
    assert f"mở {PUBLIC}/tb/ rồi gõ mã" in told.pin
    for address in (told.chat_url, told.check_url, told.truong_url):
        assert (await house.browser().get(address.removeprefix(PUBLIC))).status_code == 200


async def test_the_pinned_words_say_what_the_machine_does_not_do(house):
    pin = (await words(house)).pin
    assert "Trong nhóm này máy không nghe" in pin
    assert "Máy mới hiểu được ít câu" in pin
    assert "lừa đảo" not in pin, "nobody looks at strange messages yet"
    assert "Gặp tin lạ, ngờ là giả: đừng bấm liên kết" in pin


async def test_without_an_address_of_its_own_none_is_pinned(tmp_path):
    async with opened(tmp_path, public_url="") as house:
        pin = (await words(house)).pin
        assert "mở " not in pin
        assert "Gặp tin lạ" in pin
