"""The answer webhook: Vonage asks what to do with a call, and gets an NCCO that records it.

A caller is waiting: whatever is broken, the reply is 200 with an NCCO. Only a request whose signature is bad, or
missing where one is required, is refused. The flows themselves are in `flows`.
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
from recordings.timeouts import NoAnswer

from . import flows
from .authentication import authenticate
from .context import WebhookContext
from .payload import MAX_ID, NotUnderstood, read_body, read_query, storable, unfold
from .schemas import MAX_URL

log = logging.getLogger(__name__)

PLUGIN_FLOW = "plugin"  # the flow of a call whose NCCO a plugin made


def reply(context: WebhookContext, request: Request, wanted: str | None) -> Response:
    """The NCCO for a call. `wanted` is the flow in the URL; None: the configured one."""
    delivery = authenticate(context, request, "answer")
    query = read_query(delivery.query)
    flow, complaint = flows.resolve(context.flows, wanted)
    if complaint:
        log.error("answer: %s", complaint)
    call = read_call(context.flows, flow, _fields(delivery, query))
    text = _plugin_ncco(context, call)
    if text is None:
        text = json.dumps(_configured(context.flows, call, query))
    else:
        call = replace(call, flow=PLUGIN_FLOW, format=None, channels=None)
    _note(context, replace(call, records=flows.records(json.loads(text))), delivery)
    log.info("answer: %s for conversation %s", call.flow, call.conversation_uuid)
    return _ncco(text)


def reply_fallback(context: WebhookContext, request: Request) -> Response:
    """The NCCO that never changes. Vonage asks for it when the answer webhook failed, and says why.

    https://developer.vonage.com/en/voice/voice-api/webhook-reference#fallback-url
    """
    delivery = authenticate(context, request, "fallback")
    fields = _fields(delivery, read_query(delivery.query))
    call = read_call(context.flows, "voicemail", fields)
    log.error("fallback: Vonage could not use the answer URL (%.100r); a voicemail answers", fields.get("reason"))
    _note(context, replace(call, records=True), delivery)
    return emergency(context)


def emergency(context: WebhookContext) -> Response:
    """The NCCO that depends on nothing: no plugin, no field of the request, no database."""
    return _ncco(json.dumps(flows.fallback(context.flows)))


def read_call(settings: flows.FlowSettings, flow: str, fields: dict[str, Any]) -> Call:
    """The call that these fields describe. A field of the wrong type counts as missing, but stays in `params`."""
    audio_format, channels = flows.expected(settings, flow)
    return Call(
        conversation_uuid=_text(fields.get("conversation_uuid"), MAX_ID),
        uuid=_text(fields.get("uuid"), MAX_ID),
        from_=_text(fields.get("from"), MAX_ID),
        to=_text(fields.get("to"), MAX_ID),
        from_user=_text(fields.get("from_user"), MAX_ID),
        flow=flow,
        region_url=_text(fields.get("region_url"), MAX_URL),
        endpoint_type=_text(fields.get("endpoint_type"), MAX_ID),
        format=audio_format,
        channels=channels,
        params=MappingProxyType(fields),
    )


def _fields(delivery: Delivery, query: dict[str, str]) -> dict[str, Any]:
    """All fields of the request: the URL's parameters, and those of a POST's body, which count more."""
    fields: dict[str, Any] = dict(query)
    if delivery.method == "POST":
        try:
            fields |= read_body(delivery.body)
        except NotUnderstood as error:
            log.warning("answer: the request's body is not used: %s", error)
    unfold(fields, ("custom_data",))
    return fields


def _text(value: object, most: int) -> str | None:
    text = str(value) if type(value) is int and abs(value) < 10**20 else value
    return text if isinstance(text, str) and text and storable(text, most) else None


def _configured(settings: flows.FlowSettings, call: Call, query: dict[str, str]) -> flows.Ncco:
    """The flow's own NCCO. `name` and `role` are read from the URL alone: the operator writes it, not the caller."""
    name = flows.conversation_name(settings, query.get("name"))
    moderator = flows.is_moderator(settings, query.get("role"), call.from_, call.endpoint_type)
    return flows.build(settings, call.flow, flows.Caller(call.to, name, moderator))


def _plugin_ncco(context: WebhookContext, call: Call) -> str | None:
    """A plugin's NCCO as JSON. None when no plugin has one, or it failed, was too slow or gave something else."""
    try:
        ncco = context.time_limit.call(lambda: context.answer_call(call), name="answer-call")
        if ncco is None:
            return None
        if isinstance(ncco, list) and ncco and all(isinstance(action, dict) for action in ncco):
            return json.dumps(ncco, allow_nan=False)
        log.error("answer: a plugin's answer_call gave no list of actions; the configured flow answers")
    except NoAnswer as error:
        log.error("answer: a plugin's answer_call gave no answer, %s; the configured flow answers", error)
    except Exception:  # it is a stranger's code, and a caller is waiting
        log.exception("answer: a plugin's answer_call failed; the configured flow answers")
    return None


def _note(context: WebhookContext, call: Call, delivery: Delivery) -> None:
    if call.conversation_uuid or call.uuid:
        context.call_notes.add(call, delivery.application_id)


def _ncco(text: str) -> Response:
    # Any other content type ends the call. https://api.support.vonage.com/hc/en-us/articles/115016024247
    return Response(text, mimetype="application/json")
