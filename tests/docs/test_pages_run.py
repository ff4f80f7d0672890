"""Every page is followed literally: each block that is marked `sh` or `python` runs, from the first to the last.

A page is typed into one terminal, in a copy of the checkout of its own. A newcomer's page starts with nothing; the
others start where the app runs with its settings and has archived one call. The proxies lead nowhere, so that nothing
reaches the network. `console` blocks are about what is not on this machine: `test_what_is_named.py` checks them.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from sybil import Sybil

from tests.services.application import APPLICATION_ID, SIGNATURE_SECRET
from tests.services.databases import NotInstalled
from tests.services.servers import give_up

from .pages import PAGES, ROOT, blocks, fenced_blocks, name_of
from .shell import USUAL_PROGRAMS, commands_in
from .terminal import Terminal, copy_of_the_checkout

NEWCOMERS = {ROOT / "README.md", ROOT / "docs/tutorial.md"}
# A page with a drill of its own, which runs each of its blocks, and the test that has it.
DRILLED = {ROOT / "docs/backup.md": ROOT / "tests/journeys/test_backup_drill.py"}
RUN = [page for page in PAGES if page not in DRILLED and {"sh", "python"} & {language for language, _ in blocks(page)}]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]  # they start whole deployments


@pytest.fixture
def terminal(tmp_path, key_pem):
    """`terminal(page)`: one in which nothing was typed yet that stands on this page."""
    made = []

    def make(page: Path) -> Terminal:
        (tmp_path / "home").mkdir()
        folder = copy_of_the_checkout(tmp_path / "tapekeeper")
        (folder / "private.key").write_text(key_pem)
        made.append(Terminal(folder, surroundings(tmp_path / "home")))
        if page not in NEWCOMERS:
            made[0].type_in(deployed())
        return made[0]

    yield make
    for terminal in made:
        terminal.close()


def surroundings(home: Path) -> dict[str, str]:
    """The environment of a person who has nothing of ours yet."""
    dead_end = dict.fromkeys(("http_proxy", "https_proxy", "HTTPS_PROXY"), "http://127.0.0.1:9")
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", "no_proxy": "127.0.0.1", **dead_end}


def deployed() -> str:
    """What was typed before anybody reads a page for those who have a running app."""
    return f"""
export PATH='{Path(sys.executable).parent}':"$PATH"
export VONAGE_APPLICATION_ID={APPLICATION_ID} VONAGE_PRIVATE_KEY=private.key VONAGE_SIGNATURE_SECRET={SIGNATURE_SECRET}
export PUBLIC_URL=http://127.0.0.1:8000 RECORDING_HOSTS=http://127.0.0.1:4010
export STORAGE_URL="file://$PWD/var/recordings"
gunicorn "wsgi:create_app()"
flask simulate call voicemail
"""


def skip_where_a_program_is_missing(page: Path) -> None:
    """Not every machine has `curl` and the like; one on which everything is tested must have them."""
    programs = {typed[0] for language, source in blocks(page) if language == "sh" for typed in commands_in(source)}
    if missing := sorted(program for program in programs & USUAL_PROGRAMS if shutil.which(program) is None):
        give_up(NotInstalled(f"{', '.join(missing)} is not installed, and {name_of(page)} needs it."))


@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_the_page_works_as_it_is_written(page, terminal):
    skip_where_a_program_is_missing(page)
    typed = terminal(page)
    run = {"sh": typed.type_in, "python": typed.run_python}
    document = Sybil([fenced_blocks]).parse(page)
    for example in document:
        language, source = example.parsed
        if language in run:
            try:
                run[language](source)
            except AssertionError as error:
                raise AssertionError(f"{name_of(page)}, line {example.line}: {error}") from None


@pytest.mark.parametrize("page", DRILLED, ids=name_of)
def test_a_page_with_a_drill_of_its_own_has_it(page):
    assert name_of(page) in DRILLED[page].read_text()
