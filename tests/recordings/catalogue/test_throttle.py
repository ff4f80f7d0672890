"""How often a password may be tried, over all processes together."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from recordings.catalogue.tables import sign_in_tries
from recordings.catalogue.throttle import TRIES_BY_ADDRESS, TRIES_IN_ALL, Throttle


@pytest.fixture
def throttle(database, clock):
    return Throttle(database, clock=clock)


def flood(throttle, tries=TRIES_IN_ALL):
    """So many tries from as many addresses: how many were allowed."""
    return [throttle.allows(f"10.0.{number // 250}.{number % 250}") for number in range(tries)].count(0)


def test_an_address_has_ten_tries_and_waits_for_the_rest_of_five_minutes(throttle, clock):
    for _ in range(TRIES_BY_ADDRESS):
        assert throttle.allows("192.0.2.1") == 0
        clock.move(6)
    assert throttle.allows("192.0.2.1") == 240
    assert throttle.allows("192.0.2.2") == 0
    clock.move(239)
    assert throttle.allows("192.0.2.1") == 1
    clock.move(1)
    assert throttle.allows("192.0.2.1") == 0


def test_the_right_password_does_not_count_as_a_try(throttle):
    for _ in range(3 * TRIES_BY_ADDRESS):
        assert throttle.allows("192.0.2.1") == 0
        throttle.succeeded("192.0.2.1")


def test_whoever_has_an_account_cannot_sign_in_between_to_try_the_passwords_of_others_for_ever(throttle):
    guesses = 0
    for _ in range(5 * TRIES_BY_ADDRESS):
        guesses += throttle.allows("192.0.2.1") == 0
        if throttle.allows("192.0.2.1") == 0:
            throttle.succeeded("192.0.2.1")
    assert guesses <= TRIES_BY_ADDRESS


def test_all_addresses_together_have_a_hundred_tries(throttle):
    assert flood(throttle, TRIES_IN_ALL + 50) == TRIES_IN_ALL
    assert throttle.allows("192.0.2.1") > 0


def test_a_flood_that_is_refused_writes_nothing(throttle, database):
    def rows():
        with database.read() as connection:
            return connection.execute(sign_in_tries.select()).all()

    for _ in range(TRIES_BY_ADDRESS):
        throttle.allows("192.0.2.1")
    flood(throttle)
    before = rows()
    assert throttle.allows("192.0.2.1") > 0
    assert throttle.allows("2001:db8::1") > 0
    assert rows() == before


def test_a_flood_does_not_lock_out_an_address_where_somebody_signed_in(throttle, clock):
    throttle.allows("192.0.2.1")
    throttle.succeeded("192.0.2.1")
    clock.move(86400)
    flood(throttle, TRIES_IN_ALL + 1)
    assert throttle.allows("192.0.2.1") == 0
    assert throttle.allows("192.0.2.2") > 0


def test_tries_at_the_same_time_in_several_processes_cannot_pass_the_limit_together(make_database, database, clock):
    processes = [Throttle(make_database(), clock=clock) for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        waits = list(pool.map(lambda number: processes[number % 4].allows("192.0.2.1"), range(40)))
    assert waits.count(0) == TRIES_BY_ADDRESS


def test_an_ipv6_network_counts_as_one_address(throttle):
    for number in range(TRIES_BY_ADDRESS):
        assert throttle.allows(f"2001:db8::{number}") == 0
    assert throttle.allows("2001:db8::ffff") > 0
    assert throttle.allows("2001:db8:0:1::1") == 0


def test_what_is_no_address_is_counted_too(throttle):
    assert [throttle.allows("").is_integer() for _ in range(TRIES_BY_ADDRESS)]
    assert throttle.allows("unix") > 0


def test_old_rows_are_forgotten_and_addresses_of_people_stay_for_a_month(throttle, clock, database):
    flood(throttle, 20)
    throttle.allows("192.0.2.1")
    throttle.succeeded("192.0.2.1")
    clock.move(86400)
    throttle.allows("192.0.2.2")
    throttle.succeeded("192.0.2.2")
    with database.read() as connection:
        assert set(connection.scalars(sign_in_tries.select())) == {"all", "192.0.2.1", "192.0.2.2"}
