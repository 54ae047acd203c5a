"""Short codes that people read aloud and type: no letters that look or sound alike."""

import secrets

ALPHABET = "23456789ACDEFGHJKLMNPQRTUVWXY"
"""Without 0 O 1 I, B (8), S (5), Z (2)."""


NOTICE_LETTERS = 4


def code(length: int) -> str:
    """A random code of `length` characters."""
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def notice_code() -> str:
    """Four characters: about 700,000 notices a house; who asks for one checks that it is free."""
    return f"TB-{code(NOTICE_LETTERS)}"


def notice_typed(text: str) -> str:
    """What somebody typed or read aloud as a notice's code, in the form that we print: "tb4k7q" is TB-4K7Q."""
    letters = "".join(c for c in text.upper() if c.isalnum())
    bare = letters.removeprefix("TB") if len(letters) > NOTICE_LETTERS else letters
    return f"TB-{bare}"


def one_time_code() -> str:
    """Eight characters in two groups, about 39 bits; guesses are counted."""
    return f"{code(4)}-{code(4)}"


def typed(text: str) -> str:
    """What somebody typed as a one-time code, in the form that was handed out."""
    letters = "".join(c for c in text.upper() if c.isalnum())
    return f"{letters[:4]}-{letters[4:]}" if len(letters) == 8 else letters
