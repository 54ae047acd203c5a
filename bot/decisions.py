"""Approve or return by a button in chat."""

from bot import compose, dialogs, notices, texts
from bot.dialogs import Place
from bot.errors import Conflict
from bot.permissions import Actor, Duty, notice_for
from bot.turn import Turn
from store.tables import NoticeState

KIND = "return"


def press(turn: Turn, actor: Actor, code: str, word: str) -> None:
    notice = notice_for(turn.session, actor, code, Duty.APPROVE)
    if word == "yes":
        notices.approve(turn.session, turn.house, actor, notice, now=turn.now)
        turn.answer(texts.approved(notice.code, actor.name, turn.house.local(turn.now)))
    else:
        notices.may_decide(turn.session, actor, notice)
        place = dialogs.of(turn)
        if place is not None and place.kind == compose.KIND:
            raise Conflict(texts.FINISH_FIRST)
        dialogs.put(turn, KIND, "reason", {"code": notice.code})
        turn.say(texts.RETURN_WHY)
        turn.answer(texts.RETURN_WHY)


def reason_typed(turn: Turn, actor: Actor, place: Place, words: str) -> None:
    notice = notice_for(turn.session, actor, place.data["code"], Duty.APPROVE)
    if notice.state is not NoticeState.WAITING:
        dialogs.end(turn)
        turn.say(texts.DECIDED_MEANWHILE)
        return
    notices.send_back(turn.session, turn.house, actor, notice, words, now=turn.now)
    dialogs.end(turn)
    turn.say(texts.returned(notice.code, actor.name, notice.return_reason))
