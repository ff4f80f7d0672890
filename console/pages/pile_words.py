"""What a person reads about each pile that needs attention: what it is, how to mend it, and what an order did."""

from __future__ import annotations

from typing import NamedTuple

from recordings.access import Action
from recordings.care.attention import Done, Kind
from recordings.catalogue.piles import MOST


class PileWords(NamedTuple):
    """`single` and `many` name what is in the pile; `none` is a sentence; `mend` says what to do before the order.

    `order` is what the button says, `effect` what the order does, and `done` what it has done.
    """

    title: str
    single: str
    many: str
    none: str
    mend: str
    order_single: str
    order: str
    effect: str
    done: str

    def counted(self, number: int) -> str:
        """Such as `1 failed copy` or `10,000+ failed copies`."""
        if number >= MOST:
            return f"{MOST - 1:,}+ {self.many}"
        return f"{number:,} {self.single if number == 1 else self.many}"

    def ordered(self, number: int) -> str:
        """What the button for so many says."""
        return self.order_single if number == 1 else self.order.format(f"{number:,}")


_DUE = "A copy is then due at once, and a running worker takes it within seconds."
_TRIED = "{} due now; a running worker begins within seconds."

WORDS = {
    Kind.BLOCKED: PileWords(
        "Blocked",
        "blocked copy",
        "blocked copies",
        "No copy is blocked.",
        "A key, a permission or a bucket is wrong, and only a person can mend it. Read the errors, correct what they "
        "name, and order another attempt. Without an order a blocked copy is tried again within an hour.",
        "Try it again",
        "Try these {} again",
        _DUE,
        _TRIED,
    ),
    Kind.FAILED: PileWords(
        "Failed",
        "failed copy",
        "failed copies",
        "No copy has failed.",
        "A failed copy is not tried again by itself. Read the errors; once their cause is mended, order another "
        "attempt. Vonage deletes a recording 30 days after the call: then nothing helps any more.",
        "Try it again",
        "Try these {} again",
        _DUE,
        _TRIED,
    ),
    Kind.MISSING: PileWords(
        "Missing",
        "call without a recording",
        "calls without a recording",
        "No call lacks its recording.",
        "These calls were told to record, and Vonage announced nothing. See first whether events were refused: replay "
        "those, and the calls leave this list by themselves. A caller who hung up before the recording began has "
        "nothing to record. What cannot be helped may be set aside.",
        "Set it aside",
        "Set these {} aside",
        "What is set aside leaves this list, the overview and the notices for good. Nothing is deleted.",
        "{} set aside.",
    ),
    Kind.CONFLICTS: PileWords(
        "Conflicts",
        "conflict",
        "conflicts",
        "No recording waits for another address.",
        "Vonage announced a recording twice, with different addresses; the first one stands, and it has brought no "
        "audio so far. Look at each delivery, and adopt its address only if you know that it is Vonage's.",
        "Adopt its address",
        "Adopt the addresses of these {}",
        "An address that is adopted replaces that of its recording, which is fetched at once. Of several for one "
        "recording the newest counts.",
        "{} adopted; a running worker fetches the recording within seconds.",
    ),
    Kind.REFUSED: PileWords(
        "Refused",
        "refused delivery",
        "refused deliveries",
        "Nothing that looks like Vonage's was refused.",
        "Their signatures were bad or missing, but they look like Vonage's. Compare VONAGE_SIGNATURE_SECRET with the "
        "dashboard, correct it, restart, and replay them: each signature is checked with the secret of today.",
        "Replay it",
        "Replay these {}",
        "What is signed rightly is taken in as if it came now; nothing is doubled. What is still wrong stays refused.",
        "{} taken in.",
    ),
}

NOTED = {
    Kind.BLOCKED: Action.RETRY,
    Kind.FAILED: Action.RETRY,
    Kind.MISSING: Action.SET_ASIDE,
    Kind.CONFLICTS: Action.ADOPT,
    Kind.REFUSED: Action.REPLAY,
}

_LONGEST = 400  # characters of an error: the sentence travels in a cookie


def result(kind: Kind, done: Done) -> str:
    """What an order has done, with its numbers."""
    texts = WORDS[kind]
    sentence = texts.done.format(f"{texts.counted(done.mended)} {'is' if done.mended == 1 else 'are'}")
    if done.failed:
        sentence += f" {done.failed:,} could not be; for one of them this is why: {done.problem[:_LONGEST]}"
    return sentence
