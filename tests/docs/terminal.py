"""A person's terminal in a copy of the checkout: the blocks of a page are typed into it, one after the other.

What a block sets stays set for the next one. A command that serves until Ctrl-C is started, and the page goes on when
it serves; the same command, typed again, ends the former one first. Nothing outside the copy is written.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import requests

from simulator.application import Checkout, Process
from simulator.processes import free_port
from tests.services.checkout import copy_files
from tests.test_house import tracked

_SERVES = re.compile(r"^((?:gunicorn|flask worker)\b.*\n?)", re.MULTILINE)
_PATIENCE = 100  # seconds for one block, on a machine that may be busy


def copy_of_the_checkout(folder: Path) -> Path:
    """What `git clone` and `make` would bring: the files, and a `.venv` in which everything is installed."""
    copy_files(tracked(), folder)
    venv = folder / ".venv"
    venv.mkdir()
    for path in Path(sys.prefix).iterdir():
        if path.name not in ("runtime", "dev"):
            (venv / path.name).symlink_to(path)
    for stamp in ("runtime", "dev"):  # newer than the lists: `make` installs nothing
        (venv / stamp).touch()
    return folder


class Served(Process):
    """A command of a page that serves until it is ended."""

    def __init__(self, line: str, terminal: Terminal) -> None:
        super().__init__([line.strip()], {}, terminal.folder / "served.log", Checkout(terminal.folder))
        self.env = dict(terminal.environ)
        self._terminal = terminal
        self._line = line

    def command(self) -> list[str]:
        return ["bash", "-c", f". '{self._terminal.state}' 2>/dev/null\nexec {self._line}"]

    def ready(self) -> bool:
        """A web process answers; a worker says that it archives."""
        if not self._line.startswith("gunicorn"):
            return "Archiving into" in self.output()
        try:
            return requests.get(f"http://127.0.0.1:{self._terminal.port}/healthz", timeout=5).ok
        except requests.ConnectionError:
            return False


class Terminal:
    """`type_in(block)` raises `AssertionError` with all that was printed when a command of the block fails."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self.folder = folder
        self.state = folder.parent / "state.sh"
        self.port, self.vonage_port = free_port(), free_port()
        # gunicorn's own variable, and the option `--port` of `flask simulate call`: the usual ports may be taken here.
        self.environ = {"PORT": str(self.port), "FLASK_SIMULATE_CALL_PORT": str(self.vonage_port)}
        self.environ |= {name: self.here(value) for name, value in environ.items()}
        self.state.write_text("")
        # All variables, but those that bash lets nobody set, and the folder.
        variables = 'declare -p | grep -v "^declare -[a-zA-Z]*r"; printf "cd %q\\n" "$PWD"'
        self._keep = f"trap 'code=$?; {{ {variables}; }} >\"{self.state}\"; exit $code' EXIT"
        self._serving: dict[str, Served] = {}

    def here(self, text: str) -> str:
        """The text with the ports of this terminal in place of those that pages name."""
        text = text.replace("127.0.0.1:8000", f"127.0.0.1:{self.port}")
        return text.replace("127.0.0.1:4010", f"127.0.0.1:{self.vonage_port}")

    def type_in(self, block: str) -> None:
        """Run the block to its end; of a command that serves, until it does."""
        for number, text in enumerate(_SERVES.split(self.here(block))):
            if number % 2:
                self._serve(text)
            elif text.strip():
                self._run(text)

    def _run(self, text: str) -> None:
        script = f". '{self.state}' 2>/dev/null\n{self._keep}\nset -eo pipefail\n{text}"
        done = subprocess.run(
            ["timeout", "-k", "5", str(_PATIENCE), "bash", "-c", script],  # it ends whatever the block has started
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # no terminal of ours that a question could go to
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, f"{text}\nended with {done.returncode}:\n{done.stdout}"

    def _serve(self, line: str) -> None:
        kind = line.split()[0]
        if kind in self._serving:
            self._serving[kind].stop()
        self._serving[kind] = Served(line, self)
        self._serving[kind].start(_PATIENCE)

    def run_python(self, source: str) -> None:
        """Run the program. One whose first line is a comment with its path is put there first, as the page asks."""
        named = re.match(r"# ([\w/]+\.py)\n", source)
        path = self.folder / (named[1] if named else "example_of_the_page.py")
        path.write_text(source)
        self._run(f"PYTHONPATH=. python '{path}'")

    def close(self) -> None:
        """End what still serves."""
        for process in self._serving.values():
            process.stop()
