"""The help of `flask` and of every command; `flask migrate`; `flask plugins`."""

from __future__ import annotations

import json
import re

import click
import pytest
from click.testing import CliRunner
from flask.cli import FlaskGroup

import commands
from commands import PURPOSES
from recordings.catalogue.tables import HEAD

COMMANDS = [path for paths in PURPOSES.values() for path in paths]


@pytest.mark.parametrize("path", ["recordings", "deliveries", "simulate", *COMMANDS])
def test_every_command_explains_itself(deploy, path):
    result = deploy().run(*path.split(), "--help")
    assert result.exit_code == 0
    about = result.stdout.partition("\n\n")[2].partition("Options:")[0]
    assert len(about.split()) >= 5


def test_the_help_of_flask_says_what_this_is_and_groups_our_commands_by_purpose(deploy):
    flasks_own, _, ours = deploy().run("--help").stdout.partition("  Tapekeeper keeps every Vonage call recording: ")
    assert "run " in flasks_own
    assert "worker" not in flasks_own, "our commands are not in the flat list too"
    sections = dict(section.strip().split(":\n") for section in ours.split("\n\n")[1:])
    listed = {purpose: [line.strip() for line in lines.splitlines()] for purpose, lines in sections.items()}
    for purpose, paths in PURPOSES.items():
        assert len(listed[purpose]) == len(paths)
        for line, path in zip(listed[purpose], paths, strict=True):
            assert re.fullmatch(rf"{path} {{2,}}[A-Z].{{10,}}[^.]\.", line), "one whole sentence"


def test_the_help_of_flask_leaves_no_command_out(deploy):
    deployment = deploy()
    reached = set()
    for name in commands.cli.list_commands(click.Context(commands.cli)):
        command = commands.cli.get_command(None, name)
        inner = command.list_commands(click.Context(command)) if isinstance(command, click.Group) else [""]
        reached |= {f"{name} {sub}".strip() for sub in inner}
    assert reached == set(COMMANDS)
    shown = deployment.run("recordings", "--help").stdout
    assert shown.count("Tapekeeper") == 0
    assert all(f"  {path.split()[1]} " in shown for path in COMMANDS if path.startswith("recordings "))


def test_a_shell_can_complete_our_commands(deploy):
    environ = {"_FLASK_COMPLETE": "bash_complete", "COMP_WORDS": "flask reco", "COMP_CWORD": "1"}
    group = FlaskGroup(create_app=lambda: deploy().app, load_dotenv=False)
    done = CliRunner().invoke(group, [], prog_name="flask", complete_var="_FLASK_COMPLETE", env=environ)
    assert done.stdout == "plain,recordings\n"


def test_a_command_that_does_not_exist_is_a_wrong_use(deploy):
    assert deploy().run("recordings", "burn").exit_code == 2


def test_migrate_says_what_it_did(deploy):
    deployment = deploy()
    first, second = deployment.run("migrate"), deployment.run("migrate")
    assert (first.exit_code, first.stdout) == (0, f"The database went from nothing to revision {HEAD}.\n")
    assert (second.exit_code, second.stdout) == (0, f"The database is up to date, at revision {HEAD}.\n")


def test_migrate_of_a_database_that_cannot_be_used_says_so(deploy, tmp_path):
    (tmp_path / "folder.db").mkdir()
    result = deploy(DATABASE_URL=f"sqlite:///{tmp_path}/folder.db").run("migrate")
    assert result.exit_code == 1
    assert "Check DATABASE_URL" in result.stderr


# --- plugins ----------------------------------------------------------------------------------------------------------

NICE = """
import pluggy
hookimpl = pluggy.HookimplMarker("tapekeeper")

@hookimpl
def object_key(recording):
    return None
"""
BROKEN = "import a_module_that_nobody_has\n"
MISSPELT = NICE.replace("object_key", "object_kee")


@pytest.fixture
def drop_in(tmp_path):
    """`drop_in(name, text)`: a one-file plugin for deployments to come."""

    def write(name, text):
        (tmp_path / "plugins" / f"{name}.py").write_text(text)

    return write


def test_plugins_lists_the_built_in_ones(deploy):
    deployment = deploy()
    rows = deployment.objects("plugins")
    schemes = {scheme for row in rows for scheme in row["schemes"]}
    assert {"file", "gs", "az"} <= schemes
    assert {row["state"] for row in rows} == {"active"}
    assert set(rows[0]) >= {"name", "version", "origin", "file_or_distribution", "hooks", "schemes", "state", "problem"}
    assert deployment.run("plugins").exit_code == 0


def test_plugins_lists_a_drop_in_with_its_hooks(deploy, drop_in):
    drop_in("nice", NICE)
    deployment = deploy()
    row = next(row for row in deployment.objects("plugins") if row["name"] == "nice")
    assert (row["origin"], row["hooks"], row["state"], row["problem"]) == ("drop-in", ["object_key"], "active", None)
    assert "nice" in deployment.run("plugins").stdout


@pytest.mark.parametrize(("text", "words"), [(BROKEN, "a_module_that_nobody_has"), (MISSPELT, "object_kee")])
def test_a_broken_plugin_is_named_with_its_fault_and_exit_1(deploy, drop_in, text, words):
    drop_in("broken", text)
    deployment = deploy()
    table, listed = deployment.run("plugins"), deployment.run("plugins", "--json")
    assert (table.exit_code, listed.exit_code) == (1, 1)
    assert words in table.stderr
    row = next(row for row in map(json.loads, listed.stdout.splitlines()) if row["name"] == "broken")
    assert row["state"] == "broken"
    assert words in row["problem"]


def test_a_disabled_plugin_breaks_nothing(deploy, drop_in):
    drop_in("broken", BROKEN)
    deployment = deploy(PLUGINS_DISABLED="broken")
    row = next(row for row in deployment.objects("plugins") if row["name"] == "broken")
    assert row["state"] == "disabled"
    assert deployment.run("plugins").exit_code == 0
