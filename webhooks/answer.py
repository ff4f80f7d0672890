"""The answer webhook: a call asks what to do, and gets an NCCO that records.

A caller is waiting: whatever is broken behind this door, the reply is 200 with an NCCO. Only a signature that is bad,
or missing where one is required, is refused. What the flows are stands in `flows`.
https://developer.vonage.com/en/voice/voice-api/webhook-reference#answer-webhook
"""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from flask import Request, Response

from recordings.model import Call, Delivery

from . import flows
from .door import Door, admit
from .patience import NoAnswer
from .payload import NotUnderstood, read_body, read_query, unfold
from .schemas import MAX_ID, MAX_URL, storable

log = logging.getLogger(__name__)

PLUGIN_FLOW = "plugin"  # the flow of a call whose NCCO a plugin made


def reply(door: Door, request: Request, wanted: str | None) -> Response:
    """The NCCO for a call; `wanted` is the flow in the URL, None for the configured one."""
    delivery = admit(door, request, "answer")
    query = read_query(delivery.query)
    flow, complaint = flows.resolve(door.flows, wanted)
    if complaint:
        log.error("answer: %s", complaint)
    call = read_call(door.flows, flow, _fields(delivery, query))
    own = _asked(door, call)
    if own is None:
        text = json.dumps(_configured(door.flows, call, query))
    else:
        text, call = own, replace(call, flow=PLUGIN_FLOW, format=None, channels=None)
    _note(door, replace(call, records=flows.records(json.loads(text))), delivery)
    log.info("answer: %s for conversation %s", call.flow, call.conversation_uuid)
    return _ncco(text)


def reply_fallback(door: Door, request: Request) -> Response:
    """The static NCCO: Vonage asks for it when the answer webhook failed, and tells the reason.

    https://developer.vonage.com/en/voice/voice-api/webhook-reference#fallback-url
    """
    delivery = admit(door, request, "fallback")
    fields = _fields(delivery, read_query(delivery.query))
    call = read_call(door.flows, "voicemail", fields)
    log.error("fallback: Vonage could not use the answer URL (%.100r); a voicemail answers", fields.get("reason"))
    _note(door, replace(call, records=True), delivery)
    return emergency(door)


def emergency(door: Door) -> Response:
    """The answer that depends on nothing: no plugin, no field of the request, no database."""
    return _ncco(json.dumps(flows.fallback(door.flows)))


def read_call(settings: flows.FlowSettings, flow: str, fields: dict[str, Any]) -> Call:
    """The call that these fields describe; a field of the wrong type counts as missing, but stays in `params`."""
    words: dict[str, Any] = {
        name: _text(fields.get(name), MAX_ID) for name in ("conversation_uuid", "uuid", "to", "from_user")
    }
    audio_format, channels = flows.expected(settings, flow)
    return Call(
        **words,
        from_=_text(fields.get("from"), MAX_ID),
        flow=flow,
        region_url=_text(fields.get("region_url"), MAX_URL),
        endpoint_type=_text(fields.get("endpoint_type"), MAX_ID),
        format=audio_format,
        channels=channels,
        params=MappingProxyType(fields),
    )


def _fields(delivery: Delivery, query: dict[str, str]) -> dict[str, Any]:
    """Every field of the request: a GET's parameters, or a POST's body over the parameters of the URL."""
    fields: dict[str, Any] = dict(query)
    if delivery.method == "POST":
        try:
            fields |= read_body(delivery.body)
        except NotUnderstood as problem:
            log.warning("answer: the request's body is not used: %s", problem)
    unfold(fields, ("custom_data",))
    return fields


def _text(value: object, most: int) -> str | None:
    text = str(value) if type(value) is int and abs(value) < 10**20 else value
    return text if isinstance(text, str) and text and storable(text, most) else None


def _configured(settings: flows.FlowSettings, call: Call, query: dict[str, str]) -> flows.Ncco:
    """The flow's own NCCO. `name` and `role` are read from the URL alone, which is the operator's, not the caller's."""
    name = flows.conversation_name(settings, query.get("name"))
    moderator = flows.is_moderator(settings, query.get("role"), call.from_)
    return flows.build(settings, call.flow, flows.Caller(call.to, name, moderator))


def _asked(door: Door, call: Call) -> str | None:
    """The NCCO of a plugin as JSON, or None: it has none, it failed, was too slow, or what it gave is none."""
    try:
        ncco = door.patience.ask(lambda: door.answer_call(call))
        if ncco is None:
            return None
        if isinstance(ncco, list) and ncco and all(isinstance(action, dict) for action in ncco):
            return json.dumps(ncco, allow_nan=False)
        log.error("answer: a plugin's answer_call gave no list of actions; the configured flow answers")
    except NoAnswer as error:
        log.error("answer: a plugin's answer_call gave no answer, %s; the configured flow answers", error)
    except Exception:  # strangers' code, and a caller who waits: nothing it does may end the call
        log.exception("answer: a plugin's answer_call failed; the configured flow answers")
    return None


def _note(door: Door, call: Call, delivery: Delivery) -> None:
    if call.conversation_uuid or call.uuid:
        door.notes.add(call, delivery.application_id)


def _ncco(text: str) -> Response:
    # Any other content type ends the call. https://api.support.vonage.com/hc/en-us/articles/115016024247
    return Response(text, mimetype="application/json")
