"""The fuse box: what stops a start and how it is told, and what works although it would."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
import requests

from settings import SettingsError
from simulator.application import Gunicorn
from tests.services.deployment import run_command
from wsgi import create_app


@pytest.fixture
def flask():
    """`flask(environ, *words)`: a command as `flask` itself runs it, with these settings alone."""
    return run_command


# --- Serving ----------------------------------------------------------------------------------------------------------


def test_a_complete_deployment_serves(make_environ, tmp_path, own_logging):
    app = create_app(make_environ(tmp_path))
    rules = {rule.rule for rule in app.url_map.iter_rules()}
    assert {"/webhooks/answer", "/webhooks/recordings", "/healthz", "/readyz"} <= rules
    app.extensions["tapekeeper"].close()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"VONAGE_APPLICATION_ID": ""}, "VONAGE_APPLICATION_ID is not set: "),
        ({"PUBLIC_URL": "calls.example.com"}, "PUBLIC_URL is 'calls.example.com': write the https address"),
        ({"VONAGE_PRIVATE_KEY": "/nowhere/key"}, "VONAGE_PRIVATE_KEY is '***': there is no such file"),
        ({"VONAGE_PRIVATE_KEY": "-----BEGIN PRIVATE KEY-----"}, "VONAGE_PRIVATE_KEY is '***': it is not a whole PEM"),
        ({"VONAGE_SIGNATURE_SECRET": ""}, "VONAGE_SIGNATURE_SECRET is not set: "),
        ({"CALL_FLOW": "call", "FORWARD_TO": ""}, "FORWARD_TO is not set: "),
        ({"RECORDING_HOSTS": "*.nexmo.com"}, "RECORDING_HOSTS is '*.nexmo.com': "),
        ({"STORAGE_KEY_TEMPLATE": "{start}"}, "STORAGE_KEY_TEMPLATE is '{start}': "),
        ({"STORAGE_URL": "tape://drive"}, "STORAGE_URL is 'tape://drive': No plugin provides"),
        ({"STORAGE_URL": "file://recordings"}, "STORAGE_URL is 'file://recordings': "),
        ({"DYNO": "web.1"}, "DATABASE_URL is 'sqlite:"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_one_line(make_environ, tmp_path, own_logging, changed, told):
    with pytest.raises(SettingsError) as caught:
        create_app(make_environ(tmp_path, **changed))
    assert str(caught.value).startswith(told)
    assert "\n" not in str(caught.value)


def test_nothing_is_opened_and_no_thread_runs_before_the_first_request(make_environ, tmp_path, own_logging):
    before = threading.active_count()
    app = create_app(make_environ(tmp_path))
    assert threading.active_count() == before
    assert not (tmp_path / "tapekeeper.db").exists()
    assert not (tmp_path / "recordings").exists()
    app.extensions["tapekeeper"].close()


# --- Commands ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["--help"], ["recordings", "--help"], ["worker", "--help"], ["simulate", "--help"]])
def test_help_works_with_an_empty_environment(flask, own_logging, words):
    result = flask({}, *words)
    assert result.exit_code == 0
    assert "Usage" in result.stdout


def test_commands_work_where_what_they_do_not_need_is_missing(flask, tmp_path, own_logging):
    environ = {"DATABASE_URL": f"sqlite:///{tmp_path}/x.db", "PLUGINS_DIR": str(tmp_path)}
    for words in (["migrate"], ["plugins"], ["recordings", "list"], ["recordings", "list", "--json"], ["routes"]):
        result = flask(environ, *words)
        assert result.exit_code == 0, result.output


@pytest.mark.parametrize("words", [["recordings", "list"], ["migrate"], ["plugins"], ["worker"]])
def test_a_command_stops_at_a_wrong_setting_with_one_line(flask, tmp_path, own_logging, words):
    result = flask({"DATABASE_URL": f"sqlite:///{tmp_path}/x.db", "LEASE_SECONDS": "1"}, *words)
    assert result.exit_code == 1
    assert result.stderr == "Error: LEASE_SECONDS is '1': write a whole number from 3 to 3600\n"


def test_a_command_names_what_it_lacks(flask, tmp_path, own_logging):
    environ = {"DATABASE_URL": f"sqlite:///{tmp_path}/x.db", "RECORDING_HOSTS": "http://127.0.0.1:4010"}
    result = flask(environ, "simulate", "call", "voicemail", "--url", "http://127.0.0.1:1")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: VONAGE_PRIVATE_KEY is ")


def test_commands_work_in_a_real_process_with_an_empty_environment(flask_process, bare_environ):
    done = flask_process(["--help"], bare_environ)
    assert done.returncode == 0, done.stderr
    for name in ("migrate", "worker", "plugins", "recordings", "simulate"):
        assert name in done.stdout


# --- gunicorn ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"PUBLIC_URL": ""}, "PUBLIC_URL is not set: "),
        ({"VONAGE_PRIVATE_KEY": "not a key"}, "VONAGE_PRIVATE_KEY is '***': "),
        ({"AUTH_HEADER": "X-Remote-User"}, "AUTH_PROXIES is not set: "),
        ({"DEMO_DOOR": "true", "PUBLIC_URL": "https://t.example"}, "DEMO_DOOR is 'true': "),
    ],
)
def test_gunicorn_with_a_wrong_setting_ends_with_one_line_and_no_traceback(make_gunicorn, tmp_path, changed, told):
    gunicorn = make_gunicorn(tmp_path, WEB_CONCURRENCY="2", **changed)
    gunicorn.spawn()
    assert gunicorn.wait() == 3
    text = gunicorn.log.read_text()
    complaints = [line for line in text.splitlines() if line.startswith("tapekeeper cannot start: ")]
    assert [line.startswith(f"tapekeeper cannot start: {told}") for line in complaints] == [True]
    assert "Everything that is wrong is listed at once by: flask doctor" in text
    assert "Traceback" not in text
    assert "not a key" not in text


def test_the_demos_door_opens_under_gunicorn_at_loopback(make_gunicorn, tmp_path):
    gunicorn = make_gunicorn(tmp_path, DEMO_DOOR="true").start()
    assert requests.get(f"{gunicorn.url}/login", timeout=30, allow_redirects=False).headers["Location"] == "/"


def test_the_demos_door_stops_gunicorn_where_it_listens_for_other_machines(make_environ, tmp_path):
    settings = make_environ(tmp_path, DEMO_DOOR="true", PUBLIC_URL="http://127.0.0.1:8000")
    gunicorn = Gunicorn("wsgi:create_app()", settings, tmp_path / "gunicorn.log", "--bind", "0.0.0.0:0")
    gunicorn.spawn()
    assert gunicorn.wait() == 3
    assert "tapekeeper cannot start: DEMO_DOOR is 'true': take it out" in gunicorn.log.read_text()


def test_the_worker_process_tells_a_wrong_setting_alike(flask_process, bare_environ, make_environ, tmp_path):
    done = flask_process(["worker"], bare_environ | make_environ(tmp_path, STORAGE_URL="tape://drive"))
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("Error: STORAGE_URL is 'tape://drive': ")
    assert "Traceback" not in done.stderr


def test_importing_it_reads_and_opens_nothing(bare_environ, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "import wsgi, sys; print(any(n.startswith('google.cloud') for n in sys.modules))"],
        env=bare_environ | {"DATABASE_URL": "nonsense"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "False\n"
