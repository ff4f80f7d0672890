"""An order for a pile does no more than it names, ends in time, and says how far it came."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from recordings.care.attention import Attention, Done, Kind
from recordings.catalogue.inbox import Inbox
from recordings.catalogue.quotas import Worth
from recordings.errors import TapekeeperError
from recordings.model import Accepted


class StillBad(TapekeeperError):
    """What the interpreter says of a delivery that it does not accept."""


@pytest.fixture
def inbox(database, intake):
    return Inbox(database, intake)


@pytest.fixture
def attention(database, inbox, announcement):
    """`attention(bad, **options)`: orders for refused deliveries, of which those in `bad` are refused again."""

    def interpret_all_but(bad):
        def interpret(stored):
            if stored.id in bad:
                raise StillBad(f"Delivery {stored.id} is bad. Bearer abcdefghijklmnop1234")
            return stored.delivery, [announcement()]

        return interpret

    def make(bad=(), **options):
        return Attention(SimpleNamespace(database=database, inbox=inbox, interpreter=interpret_all_but(bad)), **options)

    return make


@pytest.fixture
def refuse(inbox, delivery):
    def come(number, worth=Worth.RECORDING):
        for _ in range(number):
            inbox.keep_refused(delivery(), "Bearer x", "bad", worth)

    return come


def test_refused_deliveries_are_taken_in_and_those_still_refused_are_counted(attention, refuse):
    refuse(4)
    orders = attention(bad=(2, 3))
    pile = orders.pile(Kind.REFUSED)
    assert (pile.number, pile.newest) == (4, 4)
    done = orders.carry_out(Kind.REFUSED, after=0, upto=4, most=3)
    assert (done.mended, done.failed, done.last) == (1, 2, 3)
    assert done.problem == "Delivery 2 is bad. Bearer ***"
    assert orders.carry_out(Kind.REFUSED, after=done.last, upto=4, most=3) == Done(1, last=4)
    assert orders.pile(Kind.REFUSED).number == 2
    assert orders.pile(Kind.REFUSED, after=2).number == 1


def test_what_strangers_send_is_in_no_pile(attention, refuse):
    refuse(2, Worth.UNLIKELY)
    assert attention().pile(Kind.REFUSED).number == 0
    assert attention().carry_out(Kind.REFUSED, after=0, upto=9, most=9) == Done(0)


def test_an_order_that_takes_long_ends_and_says_how_far_it_came(attention, refuse):
    refuse(5)
    seconds = iter(range(100))
    orders = attention(ticks=lambda: next(seconds) * 2, seconds=5)
    done = orders.carry_out(Kind.REFUSED, after=0, upto=5, most=5)
    assert 0 < done.last < 5
    assert done.mended == done.last
    assert orders.pile(Kind.REFUSED, after=done.last).number == 5 - done.last


def test_a_delivery_counts_as_what_it_is_now(attention, refuse, inbox):
    refuse(1)
    attention().carry_out(Kind.REFUSED, after=0, upto=1, most=1)
    assert inbox.find(1).outcome == Accepted("new").outcome
