"""`docs/architecture.md` names every place of the checkout, every table, and every state and thread as they are."""

from __future__ import annotations

import re

from recordings.catalogue.tables import metadata
from recordings.model import COPY_STATES
from settings import ROOT
from tests.test_house import our_code, tracked

from .pages import section

PAGE = (ROOT / "docs/architecture.md").read_text()
# What every project has at its top, or what the deployment page tells of.
ELSEWHERE = re.compile(r"\..*|[A-Z].*|.*\.(md|txt|toml|json|yaml|in)|build")


def named_in(heading):
    """What stands in backticks in the first column of the tables below this heading."""
    cells = re.findall(r"^\| (.*?) \|", section(PAGE, heading), re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`(.*?)`", cell)]


def test_every_folder_and_every_file_at_the_top_has_its_place_in_the_table():
    tops = {path.relative_to(ROOT).parts[0] for path in tracked()}
    tops = {name + "/" * (ROOT / name).is_dir() for name in tops if not ELSEWHERE.fullmatch(name)}
    rooms = {f"{path.name}/" for path in (ROOT / "recordings").iterdir() if (path / "__init__.py").is_file()}
    assert set(named_in("Where things are")) == tops | rooms | {"recordings/"}


def test_every_table_stands_there_and_no_other():
    names = [name for name in named_in("The tables") if not name.isupper()]
    assert sorted(names) == sorted(metadata.tables)


def test_the_states_are_those_of_a_copy():
    arrows = re.findall(r"^    (\S+) --> (\S+):", section(PAGE, "The states of a copy"), re.MULTILINE)
    assert {state for arrow in arrows for state in arrow} - {"[*]"} == {state.value for state in COPY_STATES}


def test_each_thread_that_the_page_names_is_one():
    code = "\n".join(path.read_text() for path in our_code())
    named = [name.rstrip("…") for name in named_in("Processes and threads") if re.match(r"tapekeeper-|[a-z-]+$", name)]
    named = [re.sub(r"\d+$", "", name) for name in named]
    assert len(named) > 12
    assert [name for name in named if f'"{name}' not in code and f'f"{name}' not in code] == []
