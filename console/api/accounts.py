"""`/api/accounts`: the people who may sign in. A name stands in no address: an account has a number for that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response, abort
from marshmallow import Schema, fields, validate
from werkzeug.exceptions import UnprocessableEntity

from console.access import current_actor
from console.parts import Parts
from recordings.access import Role
from recordings.catalogue.accounts import Account
from recordings.clock import iso_utc
from recordings.passwords import LEAST_LENGTH, MAX_LENGTH

from .fields import Body, flag, moment, name, role, row, rows, text, whole
from .operations import Resource, needs, with_etag

_ROW = row("account_id")


def _password() -> fields.String:
    sentence = f"Choose {LEAST_LENGTH} to {MAX_LENGTH} characters."
    return fields.String(
        validate=validate.Length(LEAST_LENGTH, MAX_LENGTH, error=sentence),
        metadata={"description": "Without one only a single sign-on proxy lets the person in.", "format": "password"},
    )


class AccountChange(Body):
    """What becomes different. A new password ends the person's sessions."""

    role = role("What the person may do.")
    password = _password()


class NewAccount(Body):
    """One more person."""

    name = name("Such as anna or anna@example.com; kept in small letters.", required=True)
    role = role("What the person may do.", required=True)
    password = _password()


class AccountAnswer(Schema):
    """One person."""

    id = whole("The number that the addresses of this API hold.")
    name = text("Of the person.")
    role = text("What the person may do.", enum=[role.word for role in Role])
    has_password = flag("If not, only a single sign-on proxy lets the person in.")
    created_at = moment("When it was added.")


class AccountsAnswer(Schema):
    """All accounts, by name."""

    accounts = rows(AccountAnswer)


def create_resource(parts: Parts) -> Resource:
    """The operations."""
    resource = Resource("Accounts", "The people who may sign in. Each change is noted in the audit.")

    @resource.route("/accounts")
    @with_etag
    @needs(Role.ADMIN)
    @resource.response(200, AccountsAnswer)
    def list_accounts() -> Mapping[str, Any]:
        """Who may sign in"""
        return {"accounts": [_as_answer(account) for account in parts.people.accounts.list()]}

    @resource.route("/accounts", methods=["POST"])
    @needs(Role.ADMIN)
    @resource.arguments(NewAccount)
    @resource.response(201, AccountAnswer)
    def add_account(body: Mapping[str, str]) -> Mapping[str, Any]:
        """Let one more person sign in"""
        role, password = Role.of(body["role"]), body.get("password")
        return _as_answer(parts.people.accounts.add(body["name"], role, password, by=current_actor()))

    @resource.route(f"/accounts/{_ROW}", methods=["PATCH"])
    @needs(Role.ADMIN)
    @resource.arguments(AccountChange)
    @resource.response(200, AccountAnswer)
    def change_account(body: Mapping[str, str], account_id: int) -> Mapping[str, Any]:
        """Give a person another role, another password, or both"""
        _change(parts, _account_in(parts, account_id).name, body)
        return _as_answer(_account_in(parts, account_id))

    @resource.route(f"/accounts/{_ROW}", methods=["DELETE"])
    @needs(Role.ADMIN)
    @resource.response(204)
    def remove_account(account_id: int) -> Response:
        """Let a person in no more; what the person did stays in the audit"""
        parts.people.accounts.remove(_account_in(parts, account_id).name, by=current_actor())
        return Response(status=204)

    return resource


def _change(parts: Parts, name: str, body: Mapping[str, str]) -> None:
    if not body:
        raise UnprocessableEntity("Give role, password, or both.")
    if "role" in body:
        parts.people.accounts.set_role(name, Role.of(body["role"]), by=current_actor())
    if "password" in body:
        parts.people.accounts.set_password(name, body["password"], by=current_actor())


def _account_in(parts: Parts, account_id: int) -> Account:
    account = parts.people.accounts.in_row(account_id)
    if account is None:
        abort(404, f"There is no account {account_id}. See all with: GET /api/accounts")
    return account


def _as_answer(account: Account) -> Mapping[str, Any]:
    return {
        "id": account.id,
        "name": account.name,
        "role": account.role.word,
        "has_password": account.has_password,
        "created_at": iso_utc(account.created_at),
    }
