"""What a person reads about each pile that needs a hand: what it is, how it is mended, and what an order has done."""

from __future__ import annotations

from typing import NamedTuple

from recordings.access import Action
from recordings.care.attention import Done, Kind


class PileWords(NamedTuple):
    """`title` and `noun` name the pile; `mend` says what to do before the order; `order` is the button's, with `{}`."""

    title: str
    noun: str
    none: str
    mend: str
    order: str
    effect: str


WORDS = {
    Kind.BLOCKED: PileWords(
        "Blocked",
        "blocked copies",
        "No copy is blocked.",
        "A key, a permission or a bucket is wrong, and only a person can mend it. Read the errors, correct what they "
        "name, and let these copies be tried again. Without an order each is tried again within an hour.",
        "Try these {} again",
        "Each of these copies is due at once, and a running worker takes it within seconds.",
    ),
    Kind.FAILED: PileWords(
        "Failed",
        "failed copies",
        "No copy has failed.",
        "They are not tried again by themselves. Read the errors; once their cause is mended, let these copies be "
        "tried again. Vonage deletes a recording 30 days after the call: then nothing helps any more.",
        "Try these {} again",
        "Each of these copies is due at once, and a running worker takes it within seconds.",
    ),
    Kind.MISSING: PileWords(
        "Missing",
        "calls without a recording",
        "No call lacks its recording.",
        "These calls were told to record, and Vonage announced nothing. See first whether events were refused: replay "
        "those, and the calls leave this list by themselves. A caller who hung up before the recording began has "
        "nothing to record. What cannot be helped may be set aside.",
        "Set these {} aside",
        "They leave this list, the overview and the notices for good. Nothing is deleted.",
    ),
    Kind.CONFLICTS: PileWords(
        "Conflicts",
        "conflicts",
        "No recording waits for another address.",
        "Vonage announced a recording twice, with different addresses; the first one stands, and it has brought no "
        "audio so far. Look at each delivery, and adopt its address only if you know that it is Vonage's.",
        "Adopt the addresses of these {}",
        "Each address replaces that of its recording, which is fetched at once. Of several for one recording the "
        "newest counts.",
    ),
    Kind.REFUSED: PileWords(
        "Refused",
        "refused deliveries",
        "Nothing that looks like Vonage's was refused.",
        "Their signatures were bad or missing, but they look like Vonage's. Compare VONAGE_SIGNATURE_SECRET with the "
        "dashboard, correct it, restart, and replay them: each signature is checked with the secret of today.",
        "Replay these {}",
        "What is signed rightly is taken in as if it came now; nothing is doubled. What is still wrong stays refused.",
    ),
}

NOTED = {
    Kind.BLOCKED: Action.RETRY,
    Kind.FAILED: Action.RETRY,
    Kind.MISSING: Action.SET_ASIDE,
    Kind.CONFLICTS: Action.ADOPT,
    Kind.REFUSED: Action.REPLAY,
}

_DONE = {
    Kind.BLOCKED: "{} of the copies are due now; a running worker takes them within seconds.",
    Kind.FAILED: "{} of the copies are due now; a running worker takes them within seconds.",
    Kind.MISSING: "{} of the calls are set aside.",
    Kind.CONFLICTS: "{} of the addresses are adopted; a running worker fetches the recordings within seconds.",
    Kind.REFUSED: "{} of the deliveries were taken in.",
}
_LONGEST = 400  # characters of an error: the sentence travels in a cookie


def result(kind: Kind, done: Done) -> str:
    """What an order has done, with its numbers."""
    sentence = _DONE[kind].format(f"{done.mended:,}")
    if done.failed:
        sentence += f" {done.failed:,} could not be; for one of them this is why: {done.problem[:_LONGEST]}"
    return sentence
