"""The working pages of the console: light, in Vietnamese, complete without JavaScript."""

from api.console import cards, compose, live, me, notices, overview, people, signin, system, villages

routes = [
    *signin.routes,
    *overview.routes,
    *compose.routes,
    *notices.routes,
    *live.routes,
    *villages.routes,
    *cards.routes,
    *people.routes,
    *me.routes,
    *system.routes,
]
