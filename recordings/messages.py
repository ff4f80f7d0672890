"""What a stranger says, such as a plugin's exception or a store's reply, as text that can be kept and shown.

No page and no database can hold half of a surrogate pair, Postgres takes no NUL, and control characters steer a
terminal. Which text is a secret is decided in `masking`.
"""

from __future__ import annotations

from .masking import masked

LONGEST = 2000  # characters
_EXAMINED = 8 * LONGEST  # characters in which secrets are looked for: a message may have millions
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def presentable(text: str) -> str:
    """The text with secrets masked, cut to 2,000 characters, each of which a page, a database and a terminal can hold.

    Line breaks and tabs stay. Another call changes nothing.
    """
    text = text[:_EXAMINED]
    if not text.isprintable():
        text = "".join(map(_presentable, text))
    return masked(text)[:LONGEST]


def message_of(error: BaseException) -> str:
    """The message of an exception of anybody's; where it has none, the name of its class."""
    try:
        return presentable(str(error)) or type(error).__name__
    except Exception:  # a plugin's exception may fail even here
        return type(error).__name__


def _presentable(character: str) -> str:
    if character.isprintable() or character in "\t\n":
        return character
    return " " if character.isspace() else _REPLACEMENT
