"""What is out is set right everywhere it is, by whatever means each chat has, and nobody's answer is lost."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlmodel import Session, col, select

from adapters.contract import Can
from bot import corrections, errands, notices, reach
from bot.errors import Conflict, Invalid, NotAllowed, NotFound
from bot.messages import Message
from bot.notices import NewNotice
from bot.permissions import Actor, Duty, holders
from store import outbox
from store.outbox import Step
from store.tables import (
    Action,
    Audit,
    Chat,
    Notice,
    NoticeRevision,
    NoticeState,
    NoticeTarget,
    Outbox,
    Person,
    Role,
    RoleName,
    State,
)
from tests.village import EVERYTHING, World, a_commune

OLD, NEW = "Sáng mai tiêm chủng lúc 8 giờ.", "Sáng mai tiêm chủng lúc 9 giờ."
WHY = "Ghi nhầm ngày."
MARK, VOID = "ĐÍNH CHÍNH", "THU HỒI"


def published(world: World, *, body: str = OLD, villages: int = 1, urgent: bool = False) -> tuple[Notice, Actor]:
    """A notice of the commune that is out; what it leads to is not delivered yet."""
    author = world.actor(world.official())
    unit_ids = tuple(village.id or 0 for village in world.villages[:villages])
    new = NewNotice(body=body, unit_ids=unit_ids, is_urgent=urgent)
    notice = notices.draft(world.session, world.house, author, new, now=world.now, origin="test")
    notices.publish(world.session, world.house, notice, by=author, now=world.now)
    world.session.commit()
    return notice, author


def correct(world: World, notice: Notice, actor: Actor, body: str = NEW, **more: int) -> bool:
    done = corrections.correct(world.session, world.house, actor, notice, body, now=world.now, **more)
    world.session.commit()
    return done


def recall(world: World, notice: Notice, actor: Actor, reason: str = WHY) -> bool:
    done = corrections.recall(world.session, world.house, actor, notice, reason, now=world.now)
    world.session.commit()
    return done


def told(world: World, notice: Notice, village: int = 0) -> reach.VillageReach:
    return reach.of_notice(world.session, notice, [world.villages[village]]).villages[0]


def rows(world: World, notice: Notice, **where: object) -> list[Outbox]:
    world.session.expire_all()
    found = select(Outbox).where(Outbox.notice_id == notice.id, Outbox.action == Action.POST)
    for name, value in where.items():
        found = found.where(getattr(Outbox, name) == value)
    return list(world.session.exec(found.order_by(col(Outbox.id))).all())


def under_way(world: World, notice: Notice) -> int:
    """Begin to send the notice's only row, and let the answer wait; returns the epoch."""
    connection = world.session.connection()
    (row,) = rows(world, notice)
    epoch = outbox.take_channel(
        connection, row.channel_id, owner="test", now=world.now, lease=timedelta(minutes=1), alone=True
    )
    assert epoch is not None
    works = outbox.claim(connection, row.channel_id, epoch, now=world.now, limit=10)
    assert outbox.start(connection, [work.id for work in works], epoch) == {row.id}
    world.session.commit()
    return epoch


def came_back(world: World, notice: Notice, epoch: int, step: Step, **more: object) -> None:
    (row, *_) = rows(world, notice)
    if step is Step.ACCEPTED:
        world.shown[row.id or 0] = Message()
    message_id = f"m{row.id}" if step is Step.ACCEPTED else None
    outcome = outbox.Outcome(id=row.id or 0, chat_id=row.chat_id, step=step, message_id=message_id, **more)  # type: ignore[arg-type]
    outbox.record(world.session.connection(), [outcome], epoch, now=world.now)
    world.session.commit()


# ---------------------------------------------------------------- groups that we post to


def test_a_sent_post_says_the_new_words_in_place_and_its_answers_stay(world: World) -> None:
    world.group(world.villages[0], "g1")
    world.households(world.villages[0], 5)
    notice, author = published(world)
    world.deliver()
    world.press("a", "Đã nắm", chat="g1")
    assert correct(world, notice, author)
    assert told(world, notice).old_texts == ("Nhóm g1",), "until the edit is there"
    world.deliver()
    (text,) = world.texts("g1")
    assert NEW in text
    assert OLD not in text
    assert MARK in text
    figures = told(world, notice)
    assert (figures.old_texts, figures.sent, figures.chats, figures.unlinked) == ((), 1, 1, 1)
    world.pass_time(timedelta(seconds=10))
    (message,) = world.posts("g1")
    assert "1" in message.buttons[0][0].label, "the running figure is on the new words too"
    world.press("b", "Đã nắm", chat="g1")
    world.pass_time(timedelta(seconds=10))
    assert NEW in world.texts("g1")[0], "a later figure brings the old words back to nobody"
    assert [r.body for r in world.session.exec(select(NoticeRevision).order_by(col(NoticeRevision.revision)))] == [
        OLD,
        NEW,
    ]


def test_words_that_have_not_left_simply_go_out_new(world: World) -> None:
    world.group(world.villages[0], "g1")
    notice, author = published(world)
    correct(world, notice, author)
    world.deliver()
    (text,) = world.texts("g1")
    assert NEW in text
    assert len(rows(world, notice)) == 1
    assert told(world, notice).old_texts == ()


@pytest.mark.parametrize(
    "can",
    [
        pytest.param(EVERYTHING, id="more parts than before"),
        pytest.param(EVERYTHING & ~Can.EDIT, id="a messenger that cannot edit"),
    ],
)
def test_where_words_cannot_be_edited_they_are_posted_below_as_a_reply(tmp_path: Path, can: Can) -> None:
    with a_commune(tmp_path, can=can) as world:
        world.group(world.villages[0], "g1")
        notice, author = published(world)
        world.deliver()
        new = NEW + ("\n\nĐiều khoản thêm." * 300 if Can.EDIT in can else "")
        correct(world, notice, author, new)
        assert told(world, notice).old_texts == ("Nhóm g1",)
        (old, first, *_) = rows(world, notice)
        assert old.is_old
        assert (first.revision, first.reply_to) == (2, old.message_id)
        world.deliver()
        texts = world.texts("g1")
        assert OLD in texts[0]
        assert MARK in texts[1]
        figures = told(world, notice)
        assert (figures.old_texts, figures.sent, figures.chats) == ((), 1, 1)
        world.press("a", "Đã nắm", chat="g1")
        world.pass_time(timedelta(seconds=10))
        assert OLD in world.texts("g1")[0]
        assert "· 1" in " ".join(b.label for m in world.posts("g1")[1:] for line in m.buttons for b in line)


@pytest.mark.parametrize("step", [Step.ACCEPTED, Step.POSTPONED, Step.LOST, Step.REFUSED])
@pytest.mark.parametrize("edits", [True, False], ids=["edits", "cannot edit"])
@pytest.mark.parametrize("urgent", [True, False], ids=["urgent", "ordinary"])
def test_what_is_being_sent_meanwhile_ends_with_the_new_words(
    tmp_path: Path, step: Step, edits: bool, urgent: bool
) -> None:
    with a_commune(tmp_path, can=EVERYTHING if edits else EVERYTHING & ~Can.EDIT) as world:
        world.group(world.villages[0], "g1")
        notice, author = published(world, urgent=urgent)
        epoch = under_way(world, notice)
        correct(world, notice, author)
        channel_id = world.messenger.channel_id
        in_turn = outbox.claim(world.session.connection(), channel_id, epoch, now=world.now, limit=10)
        assert in_turn == [], "one at a time in a chat"
        came_back(world, notice, epoch, step)
        world.now += timedelta(seconds=10)
        world.deliver()
        shown = world.texts("g1")
        assert not any(OLD in text for text in shown), "old words never go out after a correction"
        if (step is Step.REFUSED and edits) or (step is Step.LOST and edits and not urgent):
            assert shown == [], "a person decides, and then the new words go"
            notices.resend(world.session, author, notice, ["failed", "unknown"], now=world.now)
            world.deliver()
        assert NEW in world.texts("g1")[-1]
        assert {row.state for row in rows(world, notice, is_old=False)} == {State.SENT}
        assert told(world, notice).old_texts == ()


def test_a_group_that_was_stopped_or_too_late_gets_no_correction(world: World) -> None:
    world.group(world.villages[0], "g1")
    notice, author = published(world)
    notices.cancel(world.session, world.house, author, notice, now=world.now)
    correct(world, notice, author, NEW + "\n\nĐiều khoản thêm." * 300)
    world.deliver()
    assert world.texts("g1") == []
    assert {row.state for row in rows(world, notice)} == {State.CANCELLED}


def test_a_correction_leaves_long_after_the_notice_itself_would_not(world: World) -> None:
    world.group(world.villages[0], "g1")
    notice, author = published(world)
    world.deliver()
    world.now += timedelta(days=10)
    correct(world, notice, author, NEW + "\n\nĐiều khoản thêm." * 300)
    world.deliver()
    assert any(MARK in text for text in world.texts("g1"))


def test_corrections_follow_each_other(world: World) -> None:
    world.group(world.villages[0], "g1")
    world.group(world.villages[0], "g2")
    notice, author = published(world)
    world.deliver()
    long = NEW + "\n\nĐiều khoản thêm." * 300
    for body in (NEW, long, NEW + " Ở trường."):
        correct(world, notice, author, body)
        world.deliver()
        assert told(world, notice).old_texts == ()
    for group in ("g1", "g2"):
        assert "Ở trường." in world.texts(group)[-1]
    figures = told(world, notice)
    assert (figures.sent, figures.chats, notice.revision) == (2, 2, 4)


# ---------------------------------------------------------------- groups that people carry to


def by_hand(world: World) -> tuple[Person, Notice, Actor, Chat]:
    carrier = world.head()
    world.linked(carrier, "head")
    chat = world.relay_group(world.villages[0], carrier, title="Zalo Bản 1")
    notice, author = published(world)
    world.deliver()
    return carrier, notice, author, chat


def carried(world: World, carrier: Person, notice: Notice) -> None:
    row = rows(world, notice)[-1]
    errands.done(world.session, world.house, world.actor(carrier), row.id or 0, at=world.now, now=world.now)
    world.session.commit()


def test_a_carried_notice_is_carried_anew_and_its_group_holds_the_old_words_until_then(world: World) -> None:
    carrier, notice, author, _ = by_hand(world)
    carried(world, carrier, notice)
    assert correct(world, notice, author)
    figures = told(world, notice)
    assert (figures.old_texts, figures.given, figures.carried) == (("Zalo Bản 1",), 0, 0)
    world.deliver()
    kit = world.texts("head")
    assert any(NEW in text and MARK in text for text in kit)
    assert "thu hồi" in kit[-1].lower(), "the old one is to be taken away"
    assert told(world, notice).old_texts == ("Zalo Bản 1",)
    world.now += timedelta(minutes=9)
    carried(world, carrier, notice)
    figures = told(world, notice)
    assert (figures.old_texts, figures.given, figures.carried) == ((), 1, 1)
    assert figures.carried_median == timedelta(minutes=9)


def test_a_notice_that_waits_for_its_carrier_is_replaced_in_their_hand(world: World) -> None:
    carrier, notice, author, _ = by_hand(world)
    correct(world, notice, author)
    world.deliver()
    waiting = errands.waiting(world.session, world.house, carrier.id or 0)
    assert [NEW in "".join(kit.texts) for kit in waiting] == [True]
    assert [row.state for row in rows(world, notice)] == [State.CANCELLED, State.HANDED]
    assert told(world, notice).old_texts == (), "nobody said that the old words were carried"
    assert told(world, notice).problems == ()


def test_a_kit_that_nobody_reported_in_time_is_a_problem_in_words(world: World) -> None:
    _, notice, *_ = by_hand(world)
    outbox.expire(world.session.connection(), now=world.now + notices.LIFE)
    world.session.commit()
    (problem,) = told(world, notice).problems
    assert problem.words == "hết hạn mà chưa báo đã chuyển"


# ---------------------------------------------------------------- recall


def test_a_recall_deletes_what_is_there_and_stops_what_waits(world: World) -> None:
    world.group(world.villages[0], "g1")
    notice, author = published(world, villages=2)
    world.deliver()
    world.group(world.villages[1], "g2")
    assert recall(world, notice, author)
    assert notice.state is NoticeState.RECALLED
    assert WHY in notices.body_of(world.session, notice)
    assert told(world, notice).old_texts == ("Nhóm g1",)
    world.deliver()
    assert world.texts("g1") == []
    assert [row.state for row in rows(world, notice)] == [State.RECALLED]
    figures = told(world, notice)
    assert (figures.old_texts, figures.sent) == ((), 1)
    assert recall(world, notice, author) is False, "twice is once"
    with pytest.raises(Conflict, match="đã thu hồi"):
        correct(world, notice, author)


@pytest.mark.parametrize("late", [True, False], ids=["too old to delete", "a messenger that cannot delete"])
def test_what_cannot_be_deleted_is_answered(tmp_path: Path, late: bool) -> None:
    with a_commune(tmp_path, can=EVERYTHING if late else EVERYTHING & ~Can.DELETE) as world:
        world.group(world.villages[0], "g1")
        notice, author = published(world)
        world.deliver()
        world.now += timedelta(days=3) if late else timedelta(0)
        recall(world, notice, author)
        assert told(world, notice).old_texts == ("Nhóm g1",)
        world.deliver()
        (old, void) = world.texts("g1")
        assert OLD in old
        assert VOID in void
        assert WHY in void
        assert world.posts("g1")[1].buttons == (), "nothing is asked any more"
        assert told(world, notice).old_texts == ()
        assert "dừng" in world.press("a", "Đã nắm", chat="g1")


@pytest.mark.parametrize("step", [Step.ACCEPTED, Step.POSTPONED, Step.LOST, Step.REFUSED])
@pytest.mark.parametrize("urgent", [True, False], ids=["urgent", "ordinary"])
def test_what_is_being_sent_at_a_recall_does_not_stay_unanswered(world: World, step: Step, urgent: bool) -> None:
    world.group(world.villages[0], "g1")
    notice, author = published(world, urgent=urgent)
    epoch = under_way(world, notice)
    recall(world, notice, author)
    came_back(world, notice, epoch, step)
    world.now += timedelta(seconds=10)
    world.deliver()
    outbox.expire(world.session.connection(), now=world.now)
    outbox.cancel_stranded(world.session.connection())
    world.deliver()
    shown = world.texts("g1")
    assert len(shown) == 1, "the recall, and no old words"
    assert VOID in shown[0]
    states = {row.state for row in rows(world, notice, is_old=True)}
    assert states <= {State.RECALLED, State.EXPIRED, State.UNKNOWN, State.FAILED}
    assert told(world, notice).old_texts == ()


def test_a_recall_is_carried_where_the_notice_was_given_and_not_where_it_waits(world: World) -> None:
    carrier, notice, author, chat = by_hand(world)
    recall(world, notice, author)
    world.deliver()
    (kit,) = errands.waiting(world.session, world.house, carrier.id or 0)
    assert kit.is_recall
    assert WHY in "".join(kit.texts)
    fresh, author = published(world)
    recall(world, fresh, author)
    world.deliver()
    assert {row.state for row in rows(world, fresh)} == {State.CANCELLED}
    assert chat.unit_id == world.villages[0].id


# ---------------------------------------------------------------- who, and how often


def test_the_same_words_again_change_nothing_and_the_slower_of_two_is_told(world: World) -> None:
    notice, author = published(world)
    assert correct(world, notice, author, seen=1)
    assert correct(world, notice, author, seen=1) is False, "the same form twice"
    assert correct(world, notice, author) is False
    with pytest.raises(Conflict, match="vừa sửa"):
        correct(world, notice, author, "Lời khác.", seen=1)
    world.session.rollback()
    assert notice.revision == 2
    actions = world.session.exec(select(Audit.action).where(Audit.subject == notice.code)).all()
    assert actions.count("notice corrected") == 1


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(lambda w, n, a: correct(w, n, a), id="correct"),
        pytest.param(lambda w, n, a: recall(w, n, a), id="recall"),
        pytest.param(
            lambda w, n, a: corrections.revoke_link(w.session, a, n, w.villages[0], now=w.now), id="revoke the link"
        ),
    ],
)
def test_only_the_author_and_who_approves_there_may(world: World, act: Callable[[World, Notice, Actor], bool]) -> None:
    notice, author = published(world)
    second = world.actor(world.official("Cán bộ duyệt"))
    for role, place in (
        (RoleName.VIEWER, world.commune),
        (RoleName.POLICE, world.commune),
        (RoleName.VILLAGE_HEAD, world.villages[0]),
        (RoleName.HELPER, world.villages[0]),
        (RoleName.OFFICIAL, world.villages[1]),
    ):
        with pytest.raises(NotFound):
            act(world, notice, world.actor(_with(world, role, place)))
    assert holders(world.session, world.commune, Duty.APPROVE)
    act(world, notice, second)
    assert author.person_id != second.person_id


def _with(world: World, role: RoleName, place: object) -> Person:
    person = world.person(f"Người {role}", RoleName.VIEWER, world.commune)
    held = world.session.exec(select(Role).where(Role.person_id == person.id)).one()
    held.role, held.unit_id = role, place.id  # type: ignore[attr-defined]
    world.session.add(held)
    world.session.flush()
    return person


def test_an_author_who_lost_the_village_may_not(world: World) -> None:
    head = world.head()
    new = NewNotice(body=OLD, unit_ids=(world.villages[0].id or 0,))
    notice = notices.draft(world.session, world.house, world.actor(head), new, now=world.now, origin="test")
    notices.submit(world.session, world.house, world.actor(head), notice, now=world.now)
    held = world.session.exec(select(Role).where(Role.person_id == head.id)).one()
    held.revoked_at = world.now
    world.session.add(held)
    world.session.flush()
    with pytest.raises(NotAllowed):
        correct(world, notice, world.actor(head))


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        pytest.param(" \n", Invalid, id="no words"),
        pytest.param("a" * (notices.LONGEST + 1), Invalid, id="too long"),
    ],
)
def test_what_must_be_mended_is_said(world: World, body: str, refusal: type[Exception]) -> None:
    notice, author = published(world)
    with pytest.raises(refusal):
        correct(world, notice, author, body)
    with pytest.raises(Invalid):
        recall(world, notice, author, " ")


def test_a_draft_is_neither_corrected_nor_recalled(world: World) -> None:
    author = world.actor(world.official())
    new = NewNotice(body=OLD, unit_ids=(world.villages[0].id or 0,))
    notice = notices.draft(world.session, world.house, author, new, now=world.now, origin="test")
    for act in (correct, recall):
        with pytest.raises(Conflict, match="chưa phát"):
            act(world, notice, author)


def test_a_villages_link_is_revoked_once(world: World) -> None:
    _, notice, author, _ = by_hand(world)
    village, session = world.villages[0], world.session
    assert told(world, notice).link_is_open
    assert corrections.revoke_link(session, author, notice, village, now=world.now)
    assert corrections.revoke_link(session, author, notice, village, now=world.now) is False
    assert not told(world, notice).link_is_open
    assert _target(session, notice, village.id or 0).link_revoked_at == world.now
    with pytest.raises(NotFound):
        corrections.revoke_link(session, author, notice, world.villages[1], now=world.now)


def _target(session: Session, notice: Notice, unit_id: int) -> NoticeTarget:
    return session.get_one(NoticeTarget, (notice.id, unit_id))
