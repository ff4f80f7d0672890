"""`/api/tokens`: the programs that may ask. A token is in one answer alone, that to whoever adds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response, abort
from marshmallow import Schema

from console.access import current_actor
from console.parts import Parts
from recordings.access import Role
from recordings.catalogue.tokens import Token
from recordings.clock import iso_utc

from .fields import Body, moment, name, role, row, rows, text, whole
from .operations import Resource, needs, with_etag

_ROW = row("token_id")


class NewToken(Body):
    """One more program."""

    name = name("What the program is called, such as reports; kept in small letters.", required=True)
    role = role("What the program may do.", required=True)


class TokenAnswer(Schema):
    """What is known of a token: never the token itself."""

    id = whole("The number that the addresses of this API hold.")
    name = text("Of the program.")
    role = text("What the program may do.", enum=[role.word for role in Role])
    created_at = moment("When it was added.")
    last_used_at = moment("When it was last shown, to the minute; null: never.", none=True)


class AddedTokenAnswer(TokenAnswer):
    """A token that was just added."""

    token = text("The token, which nobody can show again: keep it now.")


class TokensAnswer(Schema):
    """All tokens, by name."""

    tokens = rows(TokenAnswer)


def create_resource(parts: Parts) -> Resource:
    """The operations."""
    resource = Resource("Tokens", "The programs that may ask. Each change is noted in the audit.")

    @resource.route("/tokens")
    @with_etag
    @needs(Role.ADMIN)
    @resource.response(200, TokensAnswer)
    def list_tokens() -> Mapping[str, Any]:
        """Which programs may ask"""
        return {"tokens": [_as_answer(token) for token in parts.people.tokens.list()]}

    @resource.route("/tokens", methods=["POST"])
    @needs(Role.ADMIN)
    @resource.arguments(NewToken)
    @resource.response(201, AddedTokenAnswer)
    def add_token(body: Mapping[str, str]) -> Mapping[str, Any]:
        """Let one more program ask; the answer alone shows its token"""
        token, secret = parts.people.tokens.add(body["name"], Role.of(body["role"]), by=current_actor())
        return {**_as_answer(token), "token": secret}

    @resource.route(f"/tokens/{_ROW}", methods=["DELETE"])
    @needs(Role.ADMIN)
    @resource.response(204)
    def revoke_token(token_id: int) -> Response:
        """Let a program ask no more; what it did stays in the audit"""
        parts.people.tokens.revoke(_other_token_in(parts, token_id).name, by=current_actor())
        return Response(status=204)

    return resource


def _other_token_in(parts: Parts, token_id: int) -> Token:
    """The token in this row, unless it is the one that the program itself shows: it would lock itself out."""
    token, actor = parts.people.tokens.in_row(token_id), current_actor()
    if token is None:
        abort(404, f"There is no token {token_id}. See all with: GET /api/tokens")
    if (actor.kind, actor.name) == ("token", token.name):
        abort(409, "This is the token that you show. Revoke it with another one, or: flask tokens revoke")
    return token


def _as_answer(token: Token) -> Mapping[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "role": token.role.word,
        "created_at": iso_utc(token.created_at),
        "last_used_at": iso_utc(token.last_used_at) if token.last_used_at else None,
    }
