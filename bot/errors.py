"""Refusals that a person reads: each says in Vietnamese what happened and what to do. Edges turn them into answers."""


class Refused(Exception):
    """What was asked for is not done. `words` are for the person who asked."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


class NotFound(Refused):
    """There is no such thing, or it lies outside of what the person may see: the answer is the same."""


class NotAllowed(Refused):
    """The person has no duty that covers this."""


class Invalid(Refused):
    """Something in the input must be mended; `field` names it."""

    def __init__(self, words: str, field: str = "") -> None:
        super().__init__(words)
        self.field = field


class Conflict(Refused):
    """Somebody else was first, or it has been done already."""
