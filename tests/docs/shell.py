"""What a shell block or a code span asks for: its commands as words, and what is wrong with a `flask` command."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click

import commands

FLASKS_OWN = {"run", "routes", "shell"}
# What a machine has on which the pages are followed.
USUAL_PROGRAMS = {"cat", "chmod", "cp", "curl", "echo", "grep", "head", "jq", "ln", "ls", "mkdir"}
USUAL_PROGRAMS |= {"openssl", "pg_dump", "pg_restore", "python3", "tee"}
_COMMENT = re.compile(r"(^|\s)#.*$", re.MULTILINE)
_SEPARATORS = set(";&|()\n")


def commands_in(block: str) -> Iterator[list[str]]:
    """Each command as its words, also those within `$(…)`; without redirections and what is set for it alone."""
    yield from _commands(_plain(block))
    for inner in re.findall(r"\$\(([^()]*)\)", block):
        yield from _commands(inner)


def _plain(block: str) -> str:
    """Without prompts, comments, the bodies of here-documents, and line breaks within a command."""
    block = re.sub(r"<<-?\s*['\"]?(\w+)['\"]?(.*?\n).*?^\1$", r"\2", block, flags=re.MULTILINE | re.DOTALL)
    block = _COMMENT.sub(r"\1", re.sub(r"(?m)^\$ ", "", block))
    return re.sub(r"\$\([^()]*\)", "substituted", block.replace("\\\n", " "))


def _commands(text: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars=";&|()<>\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
    typed: list[str] = []
    skip = False
    for token in [*lexer, "\n"]:
        if skip:  # the file of a redirection
            skip = False
        elif token and set(token) <= set("<>&") and set(token) & set("<>"):
            skip = True
        elif token and set(token) <= _SEPARATORS:
            if typed:
                yield typed
            typed = []
        elif typed or not re.match(r"[A-Za-z_]\w*=", token):
            typed.append(token)


def settings_in(block: str) -> set[str]:
    """The names of the variables that a block sets."""
    return set(re.findall(r"(?:^|\s|-e )([A-Z][A-Z0-9_]*)=", _COMMENT.sub(r"\1", block)))


def flask_command(typed: list[str]) -> tuple[click.Command | None, list[str]]:
    """The command behind `flask`, and what is left for it; None when there is no such command."""
    command: click.Command | None = commands.cli
    while typed and isinstance(command, click.Group):
        command, typed = command.get_command(click.Context(command), typed[0]), typed[1:]
    return command, typed


def fault_of(typed: list[str]) -> str | None:
    """What is wrong with `flask <typed>`, which is not run: no such command, or an option that it does not take."""
    if typed[0] in FLASKS_OWN:
        return None
    command, arguments = flask_command(typed)
    if command is None or isinstance(command, click.Group):
        return "there is no such command"
    try:
        command.make_parser(click.Context(command)).parse_args(list(arguments))
    except click.UsageError as error:
        return error.format_message()
    return None


def unknown_options(span: str) -> list[str]:
    """The options in `flask … [--option]`, as a table or a sentence writes it, that the command does not take."""
    command, _ = flask_command(re.findall(r"^[a-z-]+|(?<= )[a-z][a-z-]*(?= |$)", span))
    known = {"--help"} | {option for parameter in (command.params if command else []) for option in parameter.opts}
    return [option for option in re.findall(r"--[a-z][a-z-]*", span) if option not in known]
