"""Roles, names, and how passwords are kept."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.security import check_password_hash, generate_password_hash

from recordings.access import Actor, Role, clean_name
from recordings.errors import InvalidInput
from recordings.passwords import fits, hash_password

PASSWORD = "correct horse battery"


def test_each_role_includes_the_former_ones():
    actors = [Actor("anna", role, None, "account") for role in Role]
    assert [[actor.may(role) for role in Role] for actor in actors] == [
        [True, False, False, False],
        [True, True, False, False],
        [True, True, True, False],
        [True, True, True, True],
    ]


def test_a_role_is_known_by_its_word_in_any_case():
    assert [Role.of(role.word.upper()) for role in Role] == list(Role)


@pytest.mark.parametrize("word", ["", "root", "1", "viewer,admin"])
def test_a_word_that_is_no_role_says_which_there_are(word):
    with pytest.raises(InvalidInput, match="viewer, listener, operator, admin"):
        Role.of(word)


@pytest.mark.parametrize("text", ["Anna", " anna ", "ANNA", "\uff41nna"])
def test_a_name_is_the_same_in_any_case_and_width(text):
    assert clean_name(text) == "anna"


@pytest.mark.parametrize("text", ["", " ", "anna b", "a,b", "a:b", "a;b", "a\x00b", "a\nb", "a\u200bb", "a" * 101])
def test_what_is_no_name_is_refused_with_an_example(text):
    with pytest.raises(InvalidInput, match=r"anna@example\.com"):
        clean_name(text)


@given(st.text())
def test_a_clean_name_stays_as_it_is(text):
    try:
        name = clean_name(text)
    except InvalidInput:
        return
    assert clean_name(name) == name


def test_a_password_fits_its_hash_and_no_other_does():
    kept = hash_password(PASSWORD)
    assert PASSWORD not in kept
    assert fits(PASSWORD, kept)
    assert not fits(PASSWORD + "x", kept)
    assert not fits(PASSWORD, None)
    assert hash_password(PASSWORD) != kept, "each hash has a salt of its own"


def test_hashes_are_those_of_werkzeug():
    assert check_password_hash(hash_password(PASSWORD), PASSWORD)
    assert fits(PASSWORD, generate_password_hash(PASSWORD, "scrypt"))


def test_an_accent_fits_however_the_keyboard_composes_it():
    assert fits("cafe\u0301 au lait et croissant", hash_password("caf\u00e9 au lait et croissant"))


@pytest.mark.parametrize("password", ["", "short", "x" * 11, "x" * 1001])
def test_a_password_has_a_sensible_length(password):
    with pytest.raises(InvalidInput, match="12 to 1000 characters"):
        hash_password(password)


def test_an_unknown_name_costs_the_same_work_as_a_wrong_password():
    def least(kept):
        times = []
        for _ in range(3):
            begun = time.thread_time()
            fits("wrong password", kept)
            times.append(time.thread_time() - begun)
        return min(times)

    assert 0.5 < least(None) / least(hash_password(PASSWORD)) < 2
