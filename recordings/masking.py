"""The one function that hides secrets in text which people read: messages, log lines, and what `flask doctor` prints.

It knows secrets by their look, since a secret is often pasted into a variable that is not meant for one. Here lives no
knowledge of which variable is secret; that is in the table of settings.
"""

from __future__ import annotations

import re

MASK = "***"

_NAMES = (
    "accountkey|sharedaccesskey|sharedaccesssignature|x-amz-signature|x-goog-signature|sig|signature"
    "|private_key|private_key_id|password|passwd|pwd|secret|token|api_?key"
)

# The order matters: a key in PEM is hidden whole before its lines are judged one by one. Repetitions have bounds where
# a long text could otherwise be gone through again and again.
_SECRETS = (
    # A private key or a certificate in PEM, up to its end, or to the end of the text where it was cut off.
    (re.compile(r"()-----BEGIN.*?(?:-----END[^-]*-----|\Z)", re.DOTALL), MASK),
    # "private_key": "…" as in Google's key files, and the same for passwords in JSON.
    (re.compile(rf'("[a-z_-]{{0,40}}(?:{_NAMES})"\s*:\s*)"(?:[^"\\]|\\.)*"?', re.IGNORECASE), MASK),
    # AccountKey=…, sig=…, password=… as in connection strings and queries.
    (re.compile(r"(sharedaccesssignature\s*=\s*)[^\s;\"']+", re.IGNORECASE), MASK),
    (re.compile(rf"((?:{_NAMES})\s*=\s*)[^\s;&\"',]+", re.IGNORECASE), MASK),
    # User and password in a URL, whatever the password holds: it ends at the last @ before a space.
    # `user:password@` is what our own messages write as the example.
    (re.compile(r"(://)(?!user:password@)(?:[^\s/@:]{1,500}@|[^\s/@:]{0,500}:\S{0,500}@)"), f"{MASK}@"),
    (re.compile(r"(\b(?i:bearer|basic)\s+)(?:[\w.~+/=-]*(?:[\d=]|[a-z][A-Z])[\w.~+/=-]*|[\w.~+/=-]{16,})"), MASK),
    # Our own API tokens; see `recordings.catalogue.tokens`.
    (re.compile(r"()\btk_[A-Za-z0-9_-]{43}"), MASK),
    # A JSON web token: its header is JSON, so it begins with what base64 makes of `{"`. It is looked for only where a
    # dot follows: else a text of many such beginnings would be gone through to its end from each of them.
    (re.compile(r"(?<![\w-])(?=[\w-]+\.[\w-])([\w-]*?)\beyJ[\w-]{5,}\.[\w-]+(?:\.[\w-]*)?"), MASK),
    # Base64 of 64 bytes, which Azure's account keys are, and any base64 of 100 characters or more. A long path is not
    # taken for it: it holds a dot or a hyphen, or has letters of one case only.
    (re.compile(r"()(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{86}=="), MASK),
    (
        re.compile(
            r"()(?<![A-Za-z0-9+/])(?=[a-z0-9+/]*[A-Z])(?=[A-Z0-9+/]*[a-z])(?=[A-Za-z+/]*[0-9])[A-Za-z0-9+/]{100,}={0,2}"
        ),
        MASK,
    ),
    (re.compile(r"()[A-Za-z0-9_-]{100,}={0,2}"), MASK),
)

# Most log lines hold nothing of all this, and a quick look tells so: each pattern above needs one of these.
_MARKS = (
    *("-----begin", "@", "bearer", "basic", "eyj", "accountkey", "sharedaccess", "sig", "private_key", "passw", "pwd"),
    *("secret", "token", "apikey", "api_key", "tk_"),
)
_LONG = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{86}|(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{100}")


def masked(text: str) -> str:
    """The text with `***` in place of everything that looks like a secret. Masking it again changes nothing."""
    lowered = text.lower()
    if not any(mark in lowered for mark in _MARKS) and _LONG.search(text) is None:
        return text
    for pattern, mask in _SECRETS:
        text = pattern.sub(rf"\g<1>{mask}", text)
    return text
