"""A plugin of the worst kind, for the plugin folder of a deployment: all that it does, it never ends, or it exits.

Its storage `bad://` fails so only in processes whose environment has BAD_PUT; elsewhere it is an ordinary folder.
"""

import os
import sys
import time
from pathlib import Path

import pluggy

from backends.local.storage import LocalStorage

hookimpl = pluggy.HookimplMarker("tapekeeper")

CALLS = Path(os.environ["BAD_CALLS"])  # a file that gets a line for each call
HOOKS = os.environ.get("BAD_HOOKS", "").split()


def fail(what):
    with CALLS.open("a") as calls:
        calls.write(f"{what}\n")
    if os.environ["BAD_HOW"] == "exit":
        sys.exit(f"{what}: no configuration")
    while True:
        time.sleep(3600)


class BadStorage(LocalStorage):
    @classmethod
    def from_url(cls, url, env):
        return cls(Path(url.removeprefix("bad://")))

    def put(self, key, source, *, content_type, metadata):
        if "BAD_PUT" in os.environ:
            with source.open() as stream:
                stream.read(10)
                fail("put")
        return super().put(key, source, content_type=content_type, metadata=metadata)


@hookimpl
def register_storage_backends():
    return {"bad": BadStorage}


@hookimpl
def answer_call(call):
    return fail("answer_call") if "answer_call" in HOOKS else None


@hookimpl
def object_key(recording):
    return fail("object_key") if "object_key" in HOOKS else None


@hookimpl
def recording_stored(recording, copy):
    if "recording_stored" in HOOKS:
        fail("recording_stored")


@hookimpl
def recording_failed(recording, copy, error, will_retry):
    if "recording_failed" in HOOKS:
        fail("recording_failed")


@hookimpl
def recording_missing(call):
    if "recording_missing" in HOOKS:
        fail("recording_missing")
