"""How a group becomes a village's group, and how it is followed through its life; how an account becomes a person's."""

from adapters import contract
from adapters.contract import Can
from bot import people, texts
from bot.permissions import Duty, actor_of, holders
from bot.turn import Turn
from store import audit
from store.tables import Audience, ChatKind, CodePurpose, Person, Standing, Unit


def link(turn: Turn, typed: str) -> None:
    """/lienket CODE in private: this account acts for the person. Raises NotAllowed after too many guesses."""
    if not typed:
        turn.say(texts.LINK_HOW)
        return
    code = people.find_code(
        turn.session, turn.house, typed, CodePurpose.LINK_PERSON, turn.account.user_key, now=turn.now
    )
    if code is None or not people.spend(turn.session, code, now=turn.now):
        turn.say(texts.CODE_WRONG)
        return
    turn.account.person_id = code.person_id
    turn.session.add(turn.account)
    person = turn.session.get_one(Person, code.person_id)
    audit.note(
        turn.session,
        at=turn.now,
        person_id=person.id,
        unit_id=None,
        action="account linked",
        subject=f"account:{turn.account.id}",
    )
    turn.say(texts.linked(person.name))


def bind(turn: Turn, typed: str) -> None:
    """/dangky CODE in a group, by a person with a duty over the village: the group is the village's.

    A code alone is not enough, since a whole group may have read it.
    """
    if not typed:
        turn.say(texts.ENROL_HOW)
        return
    actor = turn.actor()
    if actor is None:
        turn.say(texts.ENROL_NOT_YOURS)
        return
    code = people.find_code(turn.session, turn.house, typed, CodePurpose.BIND_CHAT, turn.account.user_key, now=turn.now)
    if code is None or code.unit_id is None:
        turn.say(texts.CODE_WRONG)
        return
    village = turn.session.get_one(Unit, code.unit_id)
    if not actor.may(Duty.ENROL, village):
        turn.say(texts.ENROL_NOT_YOURS)
        return
    chat = turn.chat
    if chat.unit_id not in (None, village.id) and not actor.may(Duty.ENROL, turn.session.get_one(Unit, chat.unit_id)):
        turn.say(texts.ENROL_OTHER)
        return
    if not people.spend(turn.session, code, now=turn.now):
        turn.say(texts.CODE_WRONG)
        return
    chat.unit_id, chat.audience_id = village.id, code.audience_id
    chat.bound_by_id, chat.bound_at = actor.person_id, turn.now
    turn.session.add(chat)
    audit.note(
        turn.session,
        at=turn.now,
        person_id=actor.person_id,
        unit_id=village.id,
        action="group bound",
        subject=f"chat:{chat.id}",
    )
    place = village.name
    if code.audience_id is not None:
        place = f"{turn.session.get_one(Audience, code.audience_id).name}, {village.name}"
    turn.say(texts.enrolled(place, in_rooms=Can.HOSTS_ROOMS in turn.messenger.can))


def standing_changed(turn: Turn, standing: contract.Standing) -> None:
    """We were added, promoted, muted or removed."""
    chat, before = turn.chat, turn.chat.standing
    chat.standing, chat.standing_reason = Standing(standing.value), ""
    turn.session.add(chat)
    if chat.kind is not ChatKind.GROUP:
        return
    audit.note(
        turn.session,
        at=turn.now,
        person_id=None,
        unit_id=chat.unit_id,
        action=f"group {chat.standing}",
        subject=f"chat:{chat.id}",
    )
    if chat.standing in (Standing.GONE, Standing.MUTED):
        if before is not chat.standing:
            chat.standing_reason = texts.LOST_GONE if chat.standing is Standing.GONE else texts.LOST_MUTED
            _warn(turn)
    elif chat.unit_id is None and (before is Standing.GONE or chat.created_at == turn.now):
        turn.say(texts.GROUP_GREETING)


def _warn(turn: Turn) -> None:
    """The people who could mend it hear of a lost group."""
    if turn.chat.unit_id is None:
        return
    village = turn.session.get_one(Unit, turn.chat.unit_id)
    words = texts.group_lost(village.name, turn.chat.title, turn.chat.standing_reason)
    for person_id in holders(turn.session, village, Duty.ENROL):
        if actor_of(turn.session, person_id).may(Duty.BROADCAST, village):
            turn.tell(person_id, words)
