"""A pretend Vonage: places calls, signs and posts webhooks, serves audio behind a token, misbehaves on request.

It imports nothing of the application, so that a mistake in the application's signing, hashing or checking cannot hide
behind the same mistake here; nothing but tests, the demo, benchmarks and `flask simulate` may import it. In short::

    with PretendVonage(application_id, public_key_pem, signature_secret) as vonage:
        result = vonage.call_flow("http://127.0.0.1:5000", "split")          # answer, events, recording event
        result.complaints, result.recordings[0].sha256, result.recordings[0].replies[0].status

        file = vonage.add_file(faults=["404", "truncated"])                   # then it is served well
        sent = vonage.post_recording_event(url, vonage.recording_event(file), fault="duplicate")
        file.requests, file.authorizations, vonage.stranger_visits

`check_ncco(ncco)` lists what Vonage would refuse in an NCCO. What can go wrong with a download: `FAULTS` and any status
from 400 to 599; with an event: `EVENT_FAULTS`. `python -m simulator` serves in the foreground, `python -m
simulator.demo` runs the whole application against it.
"""

from .delivery import EVENT_FAULTS
from .misbehaviour import FAULTS
from .ncco import check as check_ncco
from .results import Answer, CallResult, MadeRecording, Reply, SentEvent
from .shelf import ServedFile
from .signing import public_pem
from .sounds import speech
from .vonage import FLOWS, PretendVonage, answer_urls

__all__ = [
    "EVENT_FAULTS",
    "FAULTS",
    "FLOWS",
    "Answer",
    "CallResult",
    "MadeRecording",
    "PretendVonage",
    "Reply",
    "SentEvent",
    "ServedFile",
    "answer_urls",
    "check_ncco",
    "public_pem",
    "speech",
]
