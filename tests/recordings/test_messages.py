"""What a stranger says becomes text that can be kept and shown, whatever it holds."""

from __future__ import annotations

import pytest

from recordings.messages import LONGEST, message_of, presentable

HOSTILE = "a\x00b \x1b]0;title\x07 \x9b31m half \ud800 \u202e end"


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no message")


def test_nothing_is_left_that_a_database_a_page_or_a_terminal_cannot_hold():
    text = presentable(HOSTILE)
    assert text.isprintable()
    assert text.encode().decode() == text
    assert text.startswith("a\ufffdb ")
    assert text.endswith(" end")


def test_what_people_can_read_stays_as_it_is():
    text = "Größe: 3\u00a0MB\n\tat line 2 — 録音"
    assert presentable(text) == text.replace("\u00a0", " ")


def test_a_long_message_is_cut_and_no_secret_is_cut_so_that_it_is_not_known_any_more():
    token = "tk_" + "aB3" * 14 + "x"
    assert len(presentable("x " * 30_000_000)) == LONGEST
    assert token[:20] not in presentable("- " * (LONGEST // 2 - 10) + token)


@pytest.mark.parametrize("text", [HOSTILE, "password=hunter2 " * 500, "x\n" * 5000])
def test_another_call_changes_nothing(text):
    assert presentable(presentable(text)) == presentable(text)


@pytest.mark.parametrize(
    ("error", "message"),
    [(ValueError("no room"), "no room"), (ValueError(), "ValueError"), (Mute(), "Mute"), (SystemExit(3), "3")],
)
def test_an_exception_gives_its_message_or_its_class(error, message):
    assert message_of(error) == message
