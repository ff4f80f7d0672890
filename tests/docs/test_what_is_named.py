"""What a page names exists, also in the blocks that cannot be run here: commands, options, programs, files.

The variables that a document names are checked in `tests/test_house_texts.py`.
"""

from __future__ import annotations

import json
import re
import tomllib
from io import StringIO

import pytest
import yaml
from dotenv import dotenv_values

from settings import load, variables
from tests.test_house_texts import FOREIGN

from .pages import PAGES, ROOT, blocks, name_of, spans
from .shell import USUAL_PROGRAMS, commands_in, fault_of, settings_in, unknown_options

# The languages of code blocks. `sh` and `python` are run; `console` is typed where this machine cannot go.
READ_BY = {
    "dotenv": lambda text: load(dotenv_values(stream=StringIO(text))),
    "json": json.loads,
    "yaml": yaml.safe_load,
    "toml": tomllib.loads,
}
LANGUAGES = {"sh", "console", "python", "text", "mermaid", "nginx", "sql", *READ_BY}

# What only a platform, a server's root or another site has: a `console` block is about one of these.
FOREIGN_PROGRAMS = {"heroku", "fly", "dokku", "docker", "gcloud", "az", "vonage", "git", "aws", "pip", "npm"}
FOREIGN_PROGRAMS |= {"useradd", "runuser", "install", "systemctl", "nginx", "caddy", "apt-get", "psql"}

THE_SHELLS_AND_OURS = {".", "cd", "export", "flask", "gunicorn", "python"}

# What a block sets for itself, or for another program.
OWN_VARIABLES = {"TOKEN", "PATH", "PORT"}

MAKE_TARGETS = re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)

SHELL_BLOCKS = [
    pytest.param(language, source, id=f"{name_of(page)}-{number}")
    for page in PAGES
    for number, (language, source) in enumerate(blocks(page), 1)
    if language in ("sh", "console")
]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_says_what_it_is_and_can_be_read(page):
    for language, source in blocks(page):
        assert language in LANGUAGES, source
        READ_BY.get(language, str)(source)
        if language not in ("sh", "console"):
            assert not re.search(r"^\$? ?(flask|gunicorn|make|export) ", source, re.MULTILINE), (
                "a block that is not run"
            )


@pytest.mark.parametrize(("language", "source"), SHELL_BLOCKS)
def test_every_command_in_a_block_exists_and_takes_these_options(language, source):
    for typed in commands_in(source):
        program, *arguments = typed
        if program == "flask":
            assert fault_of(arguments) is None, f"{typed}: {fault_of(arguments)}"
        elif program == "make":
            assert arguments[0] in MAKE_TARGETS
        else:
            known = FOREIGN_PROGRAMS | USUAL_PROGRAMS | THE_SHELLS_AND_OURS
            assert program.removeprefix(".venv/bin/") in known, typed


@pytest.mark.parametrize(("language", "source"), [p for p in SHELL_BLOCKS if p.values[0] == "console"])
def test_a_block_that_is_not_run_here_could_not_be(language, source):
    programs = {typed[0].removeprefix(".venv/bin/") for typed in commands_in(source)}
    assert programs & FOREIGN_PROGRAMS, "everything in it is here: write sh, so that it is run"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_variable_that_a_block_sets_is_known(page):
    known = {name for name, *_ in variables()} | FOREIGN | OWN_VARIABLES
    written = {name for language, source in blocks(page) if language != "python" for name in settings_in(source)}
    assert sorted(written - known) == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_option_in_a_sentence_is_one_of_its_command(page):
    named = [span.removeprefix("flask ") for span in spans(page) if span.startswith("flask ")]
    assert {span: unknown for span in named if (unknown := unknown_options(span))} == {}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_target_of_make_in_a_sentence_is_there(page):
    assert [span for span in spans(page) if span.startswith("make ") and span.split()[1] not in MAKE_TARGETS] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_path_of_the_checkout_that_is_named_is_there(page):
    folders = "|".join(sorted(path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")))
    written = [word for _, source in blocks(page) for word in source.split()] + spans(page)
    # What lies in plugins/dropin, var and build belongs to whoever deploys.
    pattern = rf"(?:\./)?((?:{folders})/(?!dropin/.)[\w./-]*)"
    named = {match[1] for word in written if (match := re.fullmatch(pattern, word.strip("`'\",;")))}
    assert (
        sorted(path for path in named if path.split("/")[0] not in ("var", "build") and not (ROOT / path).exists())
        == []
    )
