"""Signed webhooks, as Vonage sends them, for the tests of deliveries that were refused, repeated or in conflict."""

from __future__ import annotations

import hashlib
import json
import time
import uuid

import jwt

from tests.services.application import APPLICATION_ID

RIGHT = "the-right-secret-which-the-dashboard-shows"
WRONG = "the-secret-of-another-account-than-ours"


def event(**changes):
    """The fields of a recording event."""
    fields = {"recording_uuid": str(uuid.uuid4()), "conversation_uuid": f"CON-{uuid.uuid4()}", "size": 10}
    return fields | {"recording_url": "https://api.nexmo.com/v1/files/x"} | changes


def post(deployment, fields, secret=RIGHT):
    """Send an event to the webhook; the status of the reply."""
    body = json.dumps(fields).encode()
    claims = {"iat": int(time.time()), "jti": str(uuid.uuid4()), "iss": "Vonage", "application_id": APPLICATION_ID}
    token = jwt.encode(claims | {"payload_hash": hashlib.sha256(body).hexdigest()}, secret, "HS256")
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    status = deployment.client.post("/webhooks/recordings?flow=call", data=body, headers=headers).status_code
    assert deployment.wiring.webhook_context.refused.wait(10)
    return status
