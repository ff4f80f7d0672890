"""A command imports what it uses, so that it starts quickly; a process that serves imports everything before it serves.

Imports are counted, not seconds: these tests mean the same on a busy machine.
"""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from wsgi import Wiring

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {
    *("requests", "urllib3", "jwt", "cryptography", "marshmallow", "pluggy", "alembic", "prometheus_client"),
    *(
        "flask_login",
        "flask_wtf",
        "wtforms",
        "tabulate",
        "google",
        "azure",
        "psycopg",
        "simulator",
        "webhooks",
        "console",
        "backends",
        "plugins",
    ),
}

PROGRAM = """
import sys
from flask.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(*sys.modules)
"""


@pytest.fixture
def imported(bare_environ, make_environ, tmp_path):
    """`imported(*words)`: the names of the modules that this command has imported when it ends."""
    env = bare_environ | make_environ(tmp_path)
    (tmp_path / "plugins").mkdir()

    def run(*words):
        command = [sys.executable, "-c", PROGRAM, *words]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=True)
        return set(done.stdout.splitlines()[-1].split())

    run("migrate")
    return run


@pytest.mark.parametrize(
    ("words", "used"),
    [
        (["migrate"], set()),  # on a catalogue that is migrated already
        (["recordings", "list"], set()),
        (["recordings", "list", "--json"], set()),
        (["deliveries", "list"], set()),
        (["notify", "list"], set()),
        (["accounts", "list"], set()),
        (["accounts", "add", "anna", "--no-password"], set()),
        (["tokens", "list"], set()),
        (["tokens", "add", "grafana"], set()),
        (["recordings", "missing"], {"plugins", "pluggy", "backends"}),  # its part can tell plugins of a missing call
        (["plugins"], {"plugins", "pluggy", "backends", "tabulate"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_imports_nothing_heavy_that_it_does_not_use(imported, words, used):
    modules = imported(*words)
    assert {name.partition(".")[0] for name in modules} & HEAVY == used
    assert not {name for name in modules if name.startswith(("recordings.engine.engine", "recordings.care"))}


def test_a_listing_imports_only_its_own_command(imported):
    assert {name for name in imported("recordings", "list") if name.startswith("commands.")} == {
        *("commands.lazy", "commands.parts", "commands.recordings", "commands.recordings.list"),
        "commands.recordings.options",
    }


def test_serving_imports_our_rooms_before_the_first_request(bare_environ, make_environ, tmp_path):
    """Else the first caller would wait for an import, and two threads might make one part twice."""
    program = """
import os, sys, time
from wsgi import create_app
app = create_app(dict(os.environ))
before = set(sys.modules)
client = app.test_client()
assert client.get("/healthz").status_code == 200
while client.get("/readyz").get_json()["status"] == "starting":
    time.sleep(0.01)
assert client.get("/metrics").status_code == 200
assert client.get("/login").status_code == 200
assert client.get("/webhooks/answer?from=1&to=2&uuid=u&conversation_uuid=CON-1").status_code == 200
body = dict(recording_uuid="r", conversation_uuid="CON-1", recording_url="https://api.nexmo.com/v1/files/x", size=1)
assert client.post("/webhooks/recordings", json=body).status_code == 204
wiring = app.extensions["tapekeeper"]
wiring.tasks()
wiring.close()
ours = {"recordings", "webhooks", "console", "plugins", "requests", "jwt", "marshmallow", "prometheus_client"}
ours |= {"flask_login", "flask_wtf", "wtforms"}
print(sorted(name for name in set(sys.modules) - before if name.partition(".")[0] in ours))
"""
    (tmp_path / "plugins").mkdir()
    settings = make_environ(
        tmp_path, METRICS_PUBLIC="true", CONSOLE_PASSWORD="correct horse battery", ALLOW_UNSIGNED_WEBHOOKS="true"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=bare_environ | settings,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


COMMANDS = [path for path in sorted((ROOT / "commands").rglob("*.py")) if "class Parts(Protocol)" in path.read_text()]


@pytest.mark.parametrize("module", [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in COMMANDS])
def test_the_wiring_has_every_part_that_a_command_names(module):
    parts = import_module(module.removesuffix(".__init__")).Parts
    named = {name for name in vars(parts) if not name.startswith("_")}
    assert named
    assert named <= set(vars(Wiring)) | set(Wiring.__dataclass_fields__)
