"""How a command gets the parts that it uses, shows what strangers wrote, and ends: errors become one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import click
from flask.cli import ScriptInfo

from recordings.errors import CatalogueUnavailable, TapekeeperError
from settings import SettingsError

Params = ParamSpec("Params")
Result = TypeVar("Result")


def visible(text: str) -> str:
    """Text that a stranger chose, such as a caller's name or an object's key: it must not steer the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def visible_lines(text: str) -> str:
    """The same for text of several lines: their ends and the tabs stay."""
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join("\t".join(map(visible, line.split("\t"))) for line in lines)


def show(text: str, *, err: bool = False) -> None:
    """Print text in which something stands that a stranger chose."""
    click.echo(visible_lines(text), err=err)


@contextmanager
def opened(*, tolerant: bool = False) -> Iterator[Any]:
    """The parts of the program, each made at its first use, and all closed at the end.

    A `SettingsError`, a `TapekeeperError` or a database that cannot be used becomes one line on stderr and exit code 1.
    A wrong setting ends the command before it begins, unless the command is `tolerant`.
    """
    parts = click.get_current_context().ensure_object(ScriptInfo).load_app().extensions["tapekeeper"]
    try:
        if parts.problems and not tolerant:
            raise parts.problems[0]
        yield parts
    except CatalogueUnavailable as error:
        raise click.ClickException(
            visible_lines(f"{error}\nCheck DATABASE_URL, and that the database is up.")
        ) from error
    except UnicodeEncodeError as error:  # Python reads such bytes as surrogates, which no database takes
        raise click.ClickException(
            "An argument holds bytes that are no text here. Write it in UTF-8, with PYTHONUTF8=1 before the command."
        ) from error
    except (SettingsError, TapekeeperError) as error:
        raise click.ClickException(visible_lines(str(error))) from error
    finally:
        parts.close()


def with_parts(command: Callable[Concatenate[Any, Params], Result]) -> Callable[Params, Result]:
    """Give a command the parts as its first argument, which is annotated with a protocol of those that it uses."""

    @wraps(command)
    def run(*args: Params.args, **options: Params.kwargs) -> Result:
        with opened() as parts:
            return command(parts, *args, **options)

    return run
