"""The house's laws about its texts: what a document, a docstring or a comment names is there."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import click

import commands
import settings
from tests.test_house import ROOT, tracked

ROOMS = "webhooks|recordings|backends|plugins|console|commands|simulator|bench|tests"
DOCUMENTS = tracked("*.md", "app.json", "Procfile", "*.yaml", "fly.toml", "Dockerfile", ":(glob)deploy/*")
DOCUMENTS = [path for path in DOCUMENTS if path.name != "CHANGELOG.md"]
CODE = [path for path in tracked("*.py") if path.relative_to(ROOT).parts[0] != "tests"]

# Variables that Flask and gunicorn read, not our settings.
FOREIGN = {"FLASK_SKIP_DOTENV", "WEB_CONCURRENCY", "GUNICORN_CMD_ARGS", "POSTGRES_USER", "POSTGRES_PASSWORD"}
# Variables that platforms set or read.
FOREIGN |= {"RENDER_EXTERNAL_URL", "RAILWAY_PUBLIC_DOMAIN", "RAILWAY_RUN_UID", "CC_RUN_COMMAND", "CC_WORKER_COMMAND"}
FOREIGN |= {"CC_PRE_RUN_HOOK", "POSTGRESQL_ADDON_URI"}
FORMER = {"QUEUE_URL"}  # was a setting, which the page about upgrades says


def prose(path: Path) -> str:
    """A document; of a Python file all its strings and comments."""
    if path.suffix != ".py":
        return path.read_text()
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
    texts = (tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING))
    return "\n".join(token.string for token in tokens if token.type in texts)


def mentions(pattern: str, paths: list[Path]) -> Iterator[tuple[Path, str]]:
    """What the pattern's group finds in these files' prose, each with its file."""
    return ((path, match[1]) for path in paths for match in re.finditer(pattern, prose(path), re.MULTILINE))


def exists(dotted: str) -> bool:
    """Whether a module is there; of a name in it, whether the module's text has it."""
    place = ROOT
    for number, part in enumerate(parts := dotted.split(".")):
        if (place / part).is_dir():
            place = place / part
        elif (place / f"{part}.py").is_file():
            rest = parts[number + 1 :]
            return not rest or rest[0] in (place / f"{part}.py").read_text()
        else:
            return part in (place / "__init__.py").read_text() if (place / "__init__.py").is_file() else False
    return True


def test_every_setting_that_a_document_names_is_one():
    known = {name for name, *_ in settings.variables()} | FOREIGN | FORMER
    ours = [path for path in DOCUMENTS if "examples" not in path.parts]
    named = mentions(r"(?<![\w$])([A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+)(?!\w)", ours)
    unknown = sorted({f"{path.relative_to(ROOT)}: {name}" for path, name in named if name not in known})
    assert unknown == []


def test_every_module_that_a_text_names_is_there():
    named = mentions(rf"`((?:{ROOMS})(?:\.[a-z_]+)+)`", CODE + DOCUMENTS)
    assert sorted({f"{path.relative_to(ROOT)}: {module}" for path, module in named if not exists(module)}) == []


def test_every_file_that_a_text_names_is_there():
    # What lies in plugins/dropin belongs to whoever deploys.
    named = mentions(rf"(?<![\w/.])((?:{ROOMS})/(?!dropin)[\w/]+\.(?:py|md))\b", CODE + DOCUMENTS)
    assert sorted({f"{path.relative_to(ROOT)}: {file}" for path, file in named if not (ROOT / file).is_file()}) == []


def is_command(line: str) -> bool:
    """Whether these words begin with a command of ours, or of Flask's own."""
    command: click.Command | None = commands.cli
    for word in line.split():
        if not isinstance(command, click.Group):
            break  # the rest are its arguments
        command = command.get_command(click.Context(command), word)
    return command is not None or line in ("run", "shell", "routes")


def test_every_command_that_a_text_names_is_there():
    named = mentions(r"`flask ((?:[a-z][a-z-]+)(?: [a-z][a-z-]+)*)", CODE + DOCUMENTS)
    assert sorted({f"{path.relative_to(ROOT)}: {line}" for path, line in named if not is_command(line)}) == []
