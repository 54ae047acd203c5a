"""The hours in which nobody is disturbed without need."""

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

QUIET_FROM, QUIET_TO = time(21, 0), time(5, 30)
"""At night an ordinary notice makes no sound."""


def quiet(local: datetime) -> bool:
    return local.time() >= QUIET_FROM or local.time() < QUIET_TO


def awake(at: datetime, zone: ZoneInfo, *, is_urgent: bool) -> datetime:
    """`at`, or the morning after it when it falls into the night; what is urgent wakes people."""
    local = at.astimezone(zone)
    if is_urgent or not quiet(local):
        return at
    morning = local + timedelta(days=1) if local.time() >= QUIET_FROM else local
    # Put together anew in the zone, so that a change of its offset over night does not move the morning.
    return datetime.combine(morning.date(), QUIET_TO, zone).astimezone(at.tzinfo)
