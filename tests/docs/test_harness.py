"""The harness notices a mistake on a page: a command that fails or is not there, an option, a server that ends."""

from __future__ import annotations

import os

import pytest

from simulator.processes import ApplicationError

from .pages import anchors, blocks, links
from .shell import commands_in, fault_of, settings_in, unknown_options
from .terminal import Terminal


@pytest.fixture
def terminal(tmp_path):
    (tmp_path / "checkout").mkdir()
    made = Terminal(tmp_path / "checkout", {"PATH": os.environ["PATH"]})
    yield made
    made.close()


@pytest.fixture
def page(tmp_path):
    """`page(text)`: a page of this text."""

    def make(text):
        (tmp_path / "page.md").write_text(text)
        return tmp_path / "page.md"

    return make


@pytest.mark.parametrize(
    "block", ["false\ntrue", "true && false", "false | true", "no-such-program", 'test -n "$NOTHING"']
)
def test_a_command_that_fails_fails_the_page(terminal, block):
    with pytest.raises(AssertionError, match="ended with"):
        terminal.type_in(block)


def test_what_a_block_sets_stays_set_for_the_next_one(terminal):
    terminal.type_in("mkdir inner && cd inner\nexport SHARED='two words'\nown=$(echo mine)\n")
    terminal.type_in('test "$SHARED" = "two words" && test "$own" = mine && test "${PWD##*/}" = inner')
    with pytest.raises(AssertionError):
        terminal.type_in("bash -c 'test \"$own\" = mine'")


def test_a_server_that_ends_at_once_fails_the_page(terminal):
    with pytest.raises(ApplicationError, match="has ended"):
        terminal.type_in("gunicorn --no-such-option")


def test_every_command_of_a_block_is_looked_at():
    block = (
        'cd x && flask backup FILE  # flask nothing\nA=1 flask migrate | tee out > file; echo "$(flask plugins)"\n'
        "cat > .env <<'END'\nflask in a file\nEND\n$ flask worker \\\n  --help\n"
    )
    assert [" ".join(typed) for typed in commands_in(block)] == [
        "cd x",
        "flask backup FILE",
        "flask migrate",
        "tee out",
        "echo substituted",
        "cat",
        "flask worker --help",
        "flask plugins",
    ]
    assert settings_in("export ONE=1 TWO=2  # THREE=3\nFOUR=4 flask x\n") == {"ONE", "TWO", "FOUR"}


def test_a_command_or_an_option_that_is_not_there_is_a_fault():
    assert fault_of(["recordings", "list", "--since", "7d"]) is None
    assert fault_of(["recordings", "lost"]) == "there is no such command"
    assert "--sinec" in fault_of(["recordings", "list", "--sinec", "7d"])
    assert "requires an argument" in fault_of(["recordings", "list", "--since"])
    assert unknown_options("recordings list [--state STATE] [--stat STATE] --json") == ["--stat"]


def test_blocks_links_and_headings_are_found_as_github_shows_them(page):
    text = page(
        "# A `b` C?\n## A b c\n## [d](x.md) e\n- i:\n\n  ```sh\n  echo [no](link.md)\n  ```\n\n[l](y.md#z) `[n](o)`\n"
    )
    assert blocks(text) == [("sh", "echo [no](link.md)\n")]
    assert links(text) == ["x.md", "y.md#z"]
    assert anchors(text) == {"a-b-c", "a-b-c-1", "d-e"}
