"""Accounts and API tokens: what is kept of them, what opens, and that each change is noted."""

from __future__ import annotations

import pytest

from recordings.access import Action, Actor, Role
from recordings.catalogue.accounts import Accounts
from recordings.catalogue.audit import Audit
from recordings.catalogue.keys import shared_key
from recordings.catalogue.tables import accounts as accounts_table
from recordings.catalogue.tables import tokens as tokens_table
from recordings.catalogue.tokens import Tokens
from recordings.errors import InvalidInput

BY = Actor("root", Role.ADMIN, None, "command")
PASSWORD = "correct horse battery"


@pytest.fixture
def accounts(database, clock):
    return Accounts(database, clock=clock)


@pytest.fixture
def tokens(database, clock):
    return Tokens(database, clock=clock)


@pytest.fixture
def noted(database):
    """`noted()`: (action, detail) of each entry, oldest first."""
    return lambda: [(entry.action, entry.detail) for entry in reversed(Audit(database).search().entries)]


def test_an_account_is_found_by_its_name_in_any_case_and_its_password(accounts):
    assert not accounts.any()
    accounts.add("Anna", Role.LISTENER, PASSWORD, by=BY)
    assert accounts.any()
    account = accounts.check("ANNA ", PASSWORD)
    assert (account.name, account.role, account.has_password) == ("anna", Role.LISTENER, True)
    assert accounts.find("anna") == account
    assert accounts.list() == [account]


@pytest.mark.parametrize("name", ["anna", "nobody", "", "not a name", "a\x00b"])
def test_a_wrong_password_and_an_unknown_name_are_answered_alike(accounts, name):
    accounts.add("anna", Role.VIEWER, PASSWORD, by=BY)
    assert accounts.check(name, "another password") is None


def test_the_password_itself_is_not_kept(accounts, rows):
    accounts.add("anna", Role.VIEWER, PASSWORD, by=BY)
    (row,) = rows(accounts_table)
    assert PASSWORD not in str(row)
    assert row["password_hash"].startswith("scrypt:32768:8:1$")


def test_an_account_without_a_password_opens_to_none(accounts):
    accounts.add("anna", Role.VIEWER, None, by=BY)
    assert not accounts.find("anna").has_password
    assert accounts.check("anna", "") is None


def test_another_password_is_another_generation(accounts):
    before = accounts.add("anna", Role.VIEWER, PASSWORD, by=BY)
    accounts.set_password("anna", "another password", by=BY)
    assert accounts.check("anna", PASSWORD) is None
    assert accounts.check("anna", "another password").generation != before.generation


def test_an_account_that_is_made_anew_is_another_generation(accounts):
    before = accounts.add("anna", Role.VIEWER, PASSWORD, by=BY)
    accounts.remove("anna", by=BY)
    assert accounts.find("anna") is None
    assert accounts.add("anna", Role.VIEWER, PASSWORD, by=BY).generation != before.generation


def test_another_role_keeps_the_generation(accounts):
    before = accounts.add("anna", Role.VIEWER, PASSWORD, by=BY)
    accounts.set_role("anna", Role.OPERATOR, by=BY)
    after = accounts.find("anna")
    assert (after.role, after.generation) == (Role.OPERATOR, before.generation)


def test_each_change_of_an_account_is_noted(accounts, noted):
    accounts.add("anna", Role.VIEWER, PASSWORD, by=BY)
    accounts.set_role("anna", Role.OPERATOR, by=BY)
    accounts.set_password("anna", "another password", by=BY)
    accounts.remove("anna", by=BY)
    assert noted() == [
        (Action.ACCOUNT_ADDED, "anna, viewer"),
        (Action.ACCOUNT_ROLE, "anna, operator"),
        (Action.ACCOUNT_PASSWORD, "anna"),
        (Action.ACCOUNT_REMOVED, "anna"),
    ]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda accounts: accounts.add("anna", Role.VIEWER, PASSWORD, by=BY), "already"),
        (lambda accounts: accounts.add("Admin", Role.ADMIN, PASSWORD, by=BY), "CONSOLE_PASSWORD"),
        (lambda accounts: accounts.add("bob", Role.VIEWER, "short", by=BY), "12 to 1000"),
        (lambda accounts: accounts.add("b b", Role.VIEWER, PASSWORD, by=BY), "without spaces"),
        (lambda accounts: accounts.set_role("bob", Role.VIEWER, by=BY), "flask accounts list"),
        (lambda accounts: accounts.set_password("bob", PASSWORD, by=BY), "flask accounts list"),
        (lambda accounts: accounts.set_password("anna", "short", by=BY), "12 to 1000"),
        (lambda accounts: accounts.remove("bob", by=BY), "flask accounts list"),
    ],
)
def test_a_change_that_cannot_be_made_says_why_and_changes_nothing(accounts, noted, change, says):
    accounts.add("anna", Role.VIEWER, PASSWORD, by=BY)
    before = accounts.list()
    with pytest.raises(InvalidInput, match=says):
        change(accounts)
    assert accounts.list() == before
    assert len(noted()) == 1


# --- Tokens -----------------------------------------------------------------------------------------------------------


def test_a_token_opens_and_only_its_hash_is_kept(tokens, rows):
    text = tokens.create("Grafana", Role.VIEWER, by=BY)
    assert text.startswith("tk_")
    assert len(text) == 46
    assert (tokens.find(text).name, tokens.find(text).role) == ("grafana", Role.VIEWER)
    assert text not in str(rows(tokens_table))


@pytest.mark.parametrize("change", [str.upper, lambda text: text[:-1], lambda text: text + "x", lambda text: text[3:]])
def test_what_is_not_the_token_opens_nothing(tokens, change):
    assert tokens.find(change(tokens.create("grafana", Role.VIEWER, by=BY))) is None


def test_a_revoked_token_opens_nothing_and_its_name_is_free(tokens, noted):
    text = tokens.create("grafana", Role.VIEWER, by=BY)
    tokens.revoke("grafana", by=BY)
    assert tokens.find(text) is None
    assert tokens.create("grafana", Role.OPERATOR, by=BY) != text
    assert noted() == [
        (Action.TOKEN_ADDED, "grafana, viewer"),
        (Action.TOKEN_REVOKED, "grafana"),
        (Action.TOKEN_ADDED, "grafana, operator"),
    ]


def test_the_last_use_is_written_at_most_once_a_minute(tokens, clock):
    text = tokens.create("grafana", Role.VIEWER, by=BY)
    assert tokens.list()[0].last_used_at is None
    uses = []
    for seconds in (0, 30, 29, 1):
        clock.move(seconds)
        tokens.find(text)
        uses.append((clock() - tokens.list()[0].last_used_at).total_seconds())
    assert uses == [0, 30, 59, 0]


def test_a_database_that_cannot_be_written_still_lets_a_token_in(tokens, make_database, caplog):
    text = tokens.create("grafana", Role.VIEWER, by=BY)
    with make_database().write():
        assert tokens.find(text).name == "grafana"
    assert "last use of a token" in caplog.text


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda tokens: tokens.create("grafana", Role.ADMIN, by=BY), "already"),
        (lambda tokens: tokens.create("", Role.ADMIN, by=BY), "A name has"),
        (lambda tokens: tokens.revoke("nobody", by=BY), "flask tokens list"),
    ],
)
def test_a_token_that_cannot_be_added_or_revoked_says_why(tokens, change, says):
    tokens.create("grafana", Role.VIEWER, by=BY)
    with pytest.raises(InvalidInput, match=says):
        change(tokens)
    assert [token.role for token in tokens.list()] == [Role.VIEWER]


# --- Keys -------------------------------------------------------------------------------------------------------------


def test_all_processes_share_a_key_and_each_name_has_its_own(database, make_database):
    key = shared_key(database, "session")
    assert len(key) == 32
    assert shared_key(make_database(), "session") == key
    assert shared_key(database, "other") != key
