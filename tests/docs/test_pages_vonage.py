"""What `docs/vonage.md` quotes is what the app says, and its NCCOs are ones that Vonage takes and that record."""

from __future__ import annotations

import ast
import json
import re

import pytest

from settings import ROOT
from simulator import check_ncco
from tests.test_house_texts import CODE
from webhooks import flows

from .pages import prose_of, sources

PATH = ROOT / "docs/vonage.md"
PAGE = PATH.read_text()
NCCOS = sources(PAGE, "json")
DIFFERS = re.compile(r"%[#0+ -]*\d*(?:\.\d+)?[sdrafg]|\{[^{}]*\}")  # what a log call or `format` puts in


def quoted():
    """The messages on the page: the lines of its `text` blocks, and whatever in backticks is long enough for one."""
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose_of(PATH))]
    messages = [line.strip() for block in sources(PAGE, "text") for line in block.splitlines()]
    return messages + [
        span for span in spans if len(span.split()) >= 3 and not span.startswith(("flask ", "npm ", "vonage "))
    ]


def strings_of_the_code():
    """Every string of the code, with `…` for what differs."""
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield DIFFERS.sub("…", node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "…" for part in node.values]
                yield "".join(map(str, parts))


def test_the_app_says_each_message_that_the_page_quotes():
    texts = list(strings_of_the_code())
    patterns = {message: ".*".join(map(re.escape, message.strip("…").split("…"))) for message in quoted()}
    assert len(patterns) > 25
    unknown = [m for m, pattern in patterns.items() if not any(re.search(pattern, t, re.DOTALL) for t in texts)]
    assert unknown == []


@pytest.mark.parametrize("text", NCCOS)
def test_an_ncco_on_the_page_is_one_that_vonage_takes_and_that_records(text):
    ncco = json.loads(text)
    assert check_ncco(ncco, native_only=True) == []
    assert flows.records(ncco)


@pytest.mark.parametrize(("text", "flow"), list(zip(NCCOS, ["split", "conversation"], strict=True)))
def test_an_ncco_on_the_page_records_as_our_own_flow_does(text, flow):
    settings = flows.FlowSettings("https://calls.example.com", forward_to="447700900001", vonage_number="447700900000")
    ours = flows.build(settings, flow, flows.Caller(name="support"))
    theirs = json.loads(text)
    for action in (*ours, *theirs):
        if "eventUrl" in action:
            action["eventUrl"] = [url.partition("?")[0] for url in action["eventUrl"]]
    assert theirs == ours
