"""Groups that exist already, who carries to them, and how they are counted."""

from datetime import timedelta

import pytest
from sqlmodel import select

from bot import audiences, people, phones, relays
from bot.errors import Conflict, Invalid, NotFound
from store import sessions
from store.tables import Audit, Channel, Chat, ChatKind, Person, RelayGroup, RoleName, Unit, WebSession
from tests.village import World


def put(world: World, actor: Person, village: Unit, **changes):
    known = {"title": "Bản Nà Mẫu", "members": 80, "carrier_id": None, "backup_id": None, "now": world.now}
    return relays.put(world.session, world.house, world.actor(actor), village, **{**known, **changes})


def test_a_group_is_a_chat_of_the_relay_channel_with_what_was_typed(world: World):
    village, head = world.villages[0], world.head(0)
    chat = put(world, head, village, title="  Bản  Nà Mẫu ", carrier_id=head.id)
    assert (chat.kind, chat.unit_id, chat.title) == (ChatKind.GROUP, village.id, "Bản Nà Mẫu")
    assert (chat.members, chat.members_at, chat.bound_at) == (80, world.now, world.now)
    assert world.session.get_one(Channel, chat.channel_id).adapter == "relay"
    (line,) = relays.of_village(world.session, village, now=world.now)
    assert (line.carrier, line.backup, line.reachable) == (head.name, "", False)


def test_whom_nothing_reaches_is_told_from_whom_something_does(world: World):
    village, head = world.villages[0], world.head(0)
    put(world, head, village, carrier_id=head.id)

    def reachable() -> bool:
        (line,) = relays.of_village(world.session, village, now=world.now)
        return line.reachable

    assert not reachable()
    session = WebSession(
        token_key="phone",
        person_id=head.id or 0,
        is_phone=True,
        created_at=world.now,
        seen_at=world.now,
        expires_at=world.now + timedelta(days=1),
    )
    world.session.add(session)
    world.session.flush()
    assert reachable(), "a phone signed in at /truong"
    session.expires_at = world.now
    world.session.flush()
    assert not reachable(), "no longer"
    session.expires_at, session.seen_at = world.now + timedelta(days=200), world.now - sessions.PHONE_IDLE
    world.session.flush()
    assert not reachable(), "left in a drawer"
    session.is_phone, session.seen_at = False, world.now
    world.session.flush()
    assert not reachable(), "a kit does not come to the console"
    world.linked(head, "trưởng bản")
    assert reachable(), "a private chat"
    head.is_active = False
    world.session.flush()
    assert not reachable(), "who has left"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"title": " "}, "title", id="no name"),
        pytest.param({"title": "x" * 101}, "title", id="a name too long"),
        pytest.param({"members": -1}, "members", id="fewer than nobody"),
        pytest.param({"members": 100_001}, "members", id="more people than there are"),
        pytest.param({"carrier_id": 99}, "carrier", id="a carrier whom nobody knows"),
        pytest.param({"backup_id": 99}, "backup", id="a backup whom nobody knows"),
    ],
)
def test_what_must_be_mended_is_named(world: World, changes: dict, field: str):
    with pytest.raises(Invalid) as refused:
        put(world, world.head(0), world.villages[0], **changes)
    assert refused.value.field == field


def test_only_people_with_a_duty_there_may_carry(world: World):
    village = world.villages[0]
    head, other, official = world.head(0), world.head(1), world.official()
    helper = world.person("Tổ công nghệ", RoleName.HELPER, village)
    viewer = world.person("Người xem", RoleName.VIEWER, world.commune)
    names = [person.name for person in relays.candidates(world.session, village)]
    assert sorted(names[:2]) == sorted([head.name, helper.name]), "the village's own come first"
    assert official.name in names
    assert other.name not in names
    assert viewer.name not in names
    with pytest.raises(Invalid):
        put(world, head, village, carrier_id=other.id)


def test_who_has_no_duty_there_changes_nothing(world: World):
    village, head, other = world.villages[0], world.head(0), world.head(1)
    chat = put(world, head, village)
    with pytest.raises(NotFound):
        put(world, other, village)
    with pytest.raises(NotFound):
        put(world, other, world.villages[1], chat_id=chat.id)
    with pytest.raises(NotFound):
        relays.close(world.session, world.actor(other), chat, now=world.now)


def test_a_group_is_noted_once(world: World):
    village, head = world.villages[0], world.head(0)
    chat = put(world, head, village)
    with pytest.raises(Conflict):
        put(world, head, village, title="bản nà mẫu")
    assert put(world, head, village, chat_id=chat.id, members=None).members is None
    put(world, head, village, title="Nhóm thứ hai")
    assert len(relays.of_village(world.session, village, now=world.now)) == 2


def test_without_the_channel_it_is_said_what_to_switch_on(world: World):
    channel = world.session.exec(select(Channel).where(Channel.adapter == "relay")).one()
    channel.adapter = "elsewhere"
    world.session.flush()
    with pytest.raises(Conflict, match="ADAPTERS"):
        put(world, world.head(0), world.villages[0])


def test_an_audience_has_groups_of_its_own(world: World):
    village, head, official = world.villages[0], world.head(0), world.official()
    women = audiences.create(world.session, world.actor(official), world.commune, "Chi hội Phụ nữ", world.now)
    put(world, head, village, audience_id=women.id)
    (line,) = relays.of_village(world.session, village, now=world.now)
    assert line.audience == "Chi hội Phụ nữ"
    theirs = audiences.create(world.session, world.actor(official), world.villages[1], "Chi bộ", world.now)
    with pytest.raises(NotFound):
        put(world, head, village, title="Nhóm khác", audience_id=theirs.id)


def test_a_closed_group_is_gone_from_the_village(world: World):
    village, head = world.villages[0], world.head(0)
    chat = put(world, head, village, carrier_id=head.id)
    relays.close(world.session, world.actor(head), chat, now=world.now)
    assert relays.of_village(world.session, village, now=world.now) == []
    assert world.session.get_one(RelayGroup, chat.id).carrier_id is None
    with pytest.raises(NotFound):
        relays.close(world.session, world.actor(head), chat, now=world.now)
    put(world, head, village)  # the same name is free again


def test_groups_are_split_by_how_they_are_reached(world: World):
    first, second, third = world.villages
    head = world.head(0)
    world.group(first, "g1")
    world.relay_group(first, head, title="một")
    world.relay_group(first, head, title="hai")
    world.relay_group(second, None, world.head(1))
    world.relay_group(third, None)
    groups = list(world.session.exec(select(Chat).where(Chat.kind == ChatKind.GROUP)).all())
    ways = relays.split(world.session, world.house, groups)
    assert (ways.posted, ways.by_hand, ways.carriers, ways.idle) == (1, 4, 2, (third.id,))


def test_a_handover_brings_the_groups_along(world: World):
    village, head = world.villages[0], world.head(0)
    other = world.person("Phó bản", RoleName.VILLAGE_HEAD, village)
    chat = world.relay_group(village, head, other)
    swapped = world.relay_group(village, other, head, title="Nhóm kia")
    coming = people.add_person(world.session, "Trưởng bản mới", None, now=world.now)
    people.handover(world.session, None, head, coming, now=world.now)
    world.session.expire_all()
    groups = [world.session.get_one(RelayGroup, found.id) for found in (chat, swapped)]
    assert [(group.carrier_id, group.backup_id) for group in groups] == [(coming.id, other.id), (other.id, coming.id)]


# ---------------------------------------------------------------- the number to call


def test_a_phone_number_is_sealed_and_audited_without_it(world: World):
    head, official = world.head(0), world.official()
    assert people.set_phone(world.session, world.house, world.actor(official), head, "0912 345 678", world.now)
    assert phones.of(world.house, head) == "0912345678"
    assert b"0912345678" not in (head.sealed_phone or b"")
    world.session.flush()
    assert all("0912" not in f"{line.action}{line.subject}{line.detail}" for line in world.session.exec(select(Audit)))
    people.set_phone(world.session, world.house, world.actor(head), head, "", world.now)
    assert phones.of(world.house, head) == ""


@pytest.mark.parametrize("typed", ["gọi tôi", "12", "+84+912345678", "1" * 30])
def test_what_is_no_phone_number_is_refused(world: World, typed: str):
    head = world.head(0)
    with pytest.raises(Invalid):
        people.set_phone(world.session, world.house, world.actor(head), head, typed, world.now)


def test_somebody_elses_number_is_not_theirs_to_set(world: World):
    head, other, official = world.head(0), world.head(1), world.official()
    helper = world.person("Tổ công nghệ số", RoleName.HELPER, world.villages[0])
    idle = people.add_person(world.session, "Người chưa có việc", None, now=world.now)
    for actor, person in ((other, head), (head, helper), (head, official), (official, idle)):
        with pytest.raises(NotFound):
            people.set_phone(world.session, world.house, world.actor(actor), person, "0912345678", world.now)
