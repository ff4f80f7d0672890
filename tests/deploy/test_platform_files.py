"""The files that platforms read agree with the Procfile, with the settings, and with what must never be set."""

from __future__ import annotations

import json
import re
import tomllib

import pytest
import yaml

from settings import ROOT, lacking, load, variables
from tests.chaos.dynos import procfile

KNOWN = {name for name, *_ in variables()} | {"WEB_CONCURRENCY", "PORT"}
NEEDED = {problem.name for problem in lacking(load({}))}
APP = json.loads((ROOT / "app.json").read_text())
RENDER = yaml.safe_load((ROOT / "render.yaml").read_text())
FLY = tomllib.loads((ROOT / "fly.toml").read_text())

SERVE = 'gunicorn "wsgi:create_app()"'
ARCHIVE, MIGRATE = "flask worker", "flask migrate"


def test_the_procfile_keeps_heroku_from_switching_the_access_log_on():
    assert procfile() == {
        "release": MIGRATE,
        "web": f"GUNICORN_CMD_ARGS= EMBEDDED_WORKER=false {SERVE}",
        "worker": ARCHIVE,
    }


def test_one_python_is_named_which_the_app_supports():
    (minor,) = re.findall(r"^3\.(\d+)\n$", (ROOT / ".python-version").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert int(minor) >= int(project["requires-python"].removeprefix(">=3."))


@pytest.mark.parametrize("name", ["uv.lock", "poetry.lock", "Pipfile", "Pipfile.lock", "runtime.txt", "setup.py"])
def test_nothing_makes_a_buildpack_choose_another_way_to_install(name):
    # https://devcenter.heroku.com/articles/python-package-managers: two of them fail the build
    assert not (ROOT / name).exists()


# --- Heroku's button -------------------------------------------------------------------------------------------------


def test_the_button_names_dynos_that_do_not_sleep():
    assert {kind: dyno["size"] for kind, dyno in APP["formation"].items()} == {"web": "basic", "worker": "basic"}
    assert APP["formation"].keys() <= procfile().keys()
    assert "stack" not in APP


def test_the_button_asks_for_what_is_needed_and_sets_nothing_unknown():
    assert APP["env"].keys() <= KNOWN
    assert APP["env"].keys() >= NEEDED | {"STORAGE_URL"}
    required = {name for name, entry in APP["env"].items() if entry.get("required", True) and "value" not in entry}
    made = {name for name, entry in APP["env"].items() if "generator" in entry}
    assert required - made == NEEDED - {"PUBLIC_URL"} | {"STORAGE_URL"}


def test_what_the_button_sets_by_itself_is_accepted():
    values = {name: entry["value"] for name, entry in APP["env"].items() if "value" in entry}
    generated = {name: "0" * 64 for name, entry in APP["env"].items() if "generator" in entry}
    load(values | generated)


# --- Render ----------------------------------------------------------------------------------------------------------


def environment(service):
    return {entry["key"]: entry for entry in service["envVars"]}


def test_render_runs_the_same_commands_on_plans_that_do_not_sleep():
    web, worker = RENDER["services"]
    assert (web["startCommand"], web["preDeployCommand"], worker["startCommand"]) == (SERVE, MIGRATE, ARCHIVE)
    assert environment(web)["EMBEDDED_WORKER"]["value"] == "false"
    assert web["healthCheckPath"] == "/healthz"
    for part in (web, worker, *RENDER["databases"]):
        assert part["plan"] != "free"
    for service in (web, worker):
        assert service["maxShutdownDelaySeconds"] == 30
        assert "disk" not in service  # one instance, a gap at each release, and the worker would not see it


def test_renders_worker_has_what_its_web_service_has():
    web, worker = map(environment, RENDER["services"])
    assert web.keys() | worker.keys() <= KNOWN
    assert worker.keys() >= NEEDED
    assert web.keys() - worker.keys() == {"EMBEDDED_WORKER", "CONSOLE_PASSWORD"}
    assert worker["PUBLIC_URL"]["fromService"]["envVarKey"] == "RENDER_EXTERNAL_URL"
    (database,) = RENDER["databases"]
    for entry in (*web.values(), *worker.values()):
        source = entry.get("fromService", {"type": "web", "name": RENDER["services"][0]["name"]})
        assert (source["type"], source["name"]) == ("web", "tapekeeper")
        assert source.get("envVarKey", "RENDER_EXTERNAL_URL") in {"RENDER_EXTERNAL_URL", entry["key"]}
        assert entry.get("fromDatabase", {"name": database["name"]})["name"] == database["name"]


# --- Fly.io ----------------------------------------------------------------------------------------------------------


def test_fly_runs_the_same_commands_on_machines_that_do_not_stop():
    assert FLY["processes"] == {"web": SERVE, "worker": ARCHIVE}
    assert FLY["deploy"]["release_command"] == MIGRATE
    service = FLY["http_service"]
    assert (service["auto_stop_machines"], service["min_machines_running"]) == ("off", 1)
    assert service["processes"] == ["web"]
    assert [check["path"] for check in service["checks"]] == ["/healthz"]


def test_fly_ends_a_process_in_order_and_asks_at_the_port_where_it_listens():
    assert (FLY["kill_signal"], FLY["kill_timeout"]) == ("SIGTERM", 30)
    assert FLY["env"] == {"PORT": str(FLY["http_service"]["internal_port"]), "EMBEDDED_WORKER": "false"}
    assert (ROOT / FLY["build"]["dockerfile"]).is_file()
    assert "mounts" not in FLY  # a volume belongs to one Machine: web and worker would not share it
