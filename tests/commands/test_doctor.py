"""`flask doctor` finds everything that is wrong at once, says how to mend it, and shows no secret."""

from __future__ import annotations

import json
import re
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import update

import settings
from commands.doctor.settings import values
from recordings.catalogue.tables import copies

DEAF = "http://127.0.0.1:9"


@pytest.fixture
def examine(deploy):
    """`examine(**settings)`: the findings of `flask doctor --json`, its exit code and what else it printed."""

    def run(**changes):
        deployment = deploy(**({"PUBLIC_URL": DEAF} | changes))
        done = deployment.run("doctor", "--json")
        return [json.loads(line) for line in done.stdout.splitlines()], done

    return run


@pytest.fixture
def broken(make_environ, bare_environ, flask_process, tmp_path):
    """`broken(*options, **settings)`: a real `flask doctor`, which must start whatever is wrong."""
    (tmp_path / "plugins").mkdir()

    def run(*options, **changes) -> subprocess.CompletedProcess[str]:
        return flask_process(["doctor", *options], bare_environ | make_environ(tmp_path, PUBLIC_URL=DEAF, **changes))

    return run


def of(findings, part, level=None):
    return [one for one in findings if one["part"] == part and level in (None, one["level"])]


def test_a_good_deployment_has_no_error(examine, make_gunicorn, tmp_path):
    (tmp_path / "other").mkdir()
    running = make_gunicorn(tmp_path / "other").start()
    findings, done = examine(PUBLIC_URL=running.url)
    assert done.exit_code == 0
    assert [one for one in findings if one["level"] == "error"] == []
    assert {one["part"] for one in findings} == {
        *("versions", "settings", "key", "hosts", "flows", "plugins", "template", "database", "work", "public url"),
        *("clock", "storage", "told"),
    }
    assert done.stderr.splitlines()[-1] == "0 errors and 1 warning."
    (warning,) = [one for one in findings if one["level"] == "warning"]
    assert "is not https" in warning["message"]
    assert of(findings, "public url", "ok")[0]["message"] == f"{running.url}/healthz answers as it should."


def test_every_finding_that_is_not_ok_has_its_mend(broken):
    wrong = {"STORAGE_URL": "file:///proc/x s9://b", "FORWARD_TO": "", "CALL_FLOW": "split", "VONAGE_NUMBER": ""}
    findings = [json.loads(line) for line in broken("--json", **wrong).stdout.splitlines()]
    assert len([one for one in findings if one["level"] == "error"]) == 3
    for one in findings:
        assert set(one) == {"level", "part", "message", "mend"}
        assert (one["mend"] is None) == (one["level"] == "ok"), one


def test_all_wrong_settings_are_listed_at_once_and_no_secret_is_shown(broken):
    done = broken(
        WORKER_THREADS="many",
        FORWARD_TO="nobody",
        DATABASE_URL="mysql://user:hunter2@host/name",
        VONAGE_PRIVATE_KEY="hunter2",
        VONAGE_SIGNATURE_SECRET="hunter2-and-more",
        STORAGE_KEY_TEMPLATE="{nonsense}",
        RECORDING_HOSTS="http://",
        STORAGE_URLS="file:///x",
    )
    assert done.returncode == 1
    for told in (
        "WORKER_THREADS is 'many'.",
        "→ Write a whole number from 1 to 64.",
        "FORWARD_TO is 'nobody'.",
        "DATABASE_URL is '***'.",
        "VONAGE_PRIVATE_KEY cannot be used: there is no such file",
        "VONAGE_SIGNATURE_SECRET = *** (16 characters)",
        "has the unknown field {nonsense}",
        "RECORDING_HOSTS is 'http://'.",
        "STORAGE_URLS is set, and nothing reads it.",
        "→ If STORAGE_URL is meant, rename it.",
        "database   Not looked at: DATABASE_URL is wrong.",
        "storage    file://",
    ):
        assert told in done.stdout
    assert "hunter2" not in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_any_other_command_stops_at_the_first_wrong_setting_with_one_line(
    make_environ, bare_environ, flask_process, tmp_path
):
    env = bare_environ | make_environ(tmp_path, WORKER_THREADS="many", FORWARD_TO="nobody")
    done = flask_process(["recordings", "list"], env)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Error: WORKER_THREADS is 'many': write a whole number from 1 to 64\n"


def test_what_serving_needs_and_lacks_is_an_error(broken):
    lines = broken("--json", VONAGE_APPLICATION_ID="", VONAGE_SIGNATURE_SECRET="", CALL_FLOW="call", FORWARD_TO="")
    messages = {one["message"] for one in map(json.loads, lines.stdout.splitlines()) if one["level"] == "error"}
    assert messages == {
        "VONAGE_APPLICATION_ID is not set.",
        "VONAGE_SIGNATURE_SECRET is not set.",
        "FORWARD_TO is not set.",
    }


def test_a_dyno_is_told_that_its_disk_does_not_last(broken):
    done = broken(DYNO="web.1")
    assert done.returncode == 1
    assert done.stdout.count("Heroku wipes this folder at a restart") == 2  # of the catalogue, and of the recordings


def test_each_storage_is_tried_on_its_own_and_nothing_stays(examine, tmp_path):
    (tmp_path / "file").touch()
    good, bad = f"file://{tmp_path}/good", f"file://{tmp_path}/file"
    findings, done = examine(STORAGE_URL=f"{bad} {good}")
    assert done.exit_code == 1
    first, second = of(findings, "storage")
    assert (first["level"], second["level"]) == ("error", "ok")
    assert bad in first["message"]
    assert f"{good}: 65536 bytes written, read, compared and deleted" in second["message"]
    assert list((tmp_path / "good").iterdir()) == []


LIAR = """
import pluggy
from backends.local.storage import LocalStorage

hookimpl = pluggy.HookimplMarker("tapekeeper")


class Liar(LocalStorage):
    @classmethod
    def from_url(cls, url, env):
        return super().from_url("file" + url.removeprefix("liar"), env)

    {fault}


@hookimpl
def register_storage_backends():
    return {{"liar": Liar}}
"""


@pytest.mark.parametrize(
    ("fault", "level", "told"),
    [
        ("def get(self, key, start=0, end=None): yield b'x' * 65536", "error", "other bytes came back"),
        ("def delete(self, key): raise PermissionError('no right to')", "warning", "could not be deleted: no right"),
        ("def check(self): raise RuntimeError('the bucket is gone')", "error", "the bucket is gone"),
        ("def put(self, key, source, **labels): raise RuntimeError()", "error", "RuntimeError"),
        ("def head(self, key): raise FileNotFoundError(key)", "error", "and then knew of none"),
    ],
)
def test_a_storage_that_lies_or_refuses_is_found_out(examine, tmp_path, fault, level, told):
    (tmp_path / "plugins" / "liar.py").write_text(LIAR.format(fault=fault))
    (finding,) = of(examine(STORAGE_URL=f"liar://{tmp_path}/tapes")[0], "storage")
    assert finding["level"] == level
    assert told in finding["message"]


def test_a_broken_plugin_is_a_warning_unless_it_is_the_storage(examine, tmp_path):
    (tmp_path / "plugins" / "bad.py").write_text("1 / 0")
    findings, done = examine(PLUGINS_DISABLED="nobody")
    warnings = of(findings, "plugins", "warning")
    assert ["bad (drop-in" in warnings[0]["message"], warnings[0]["mend"].endswith("PLUGINS_DISABLED=bad")] == [
        True
    ] * 2
    assert "ZeroDivisionError" in warnings[0]["message"]
    assert "PLUGINS_DISABLED names no plugin" in warnings[1]["message"]
    assert done.exit_code == 0


def test_the_template_is_shown_on_a_sample(examine, tmp_path):
    findings, _ = examine(STORAGE_KEY_TEMPLATE="{direction}/{start:%Y}/{to}/{recording_uuid}.{ext}")
    (shown,) = of(findings, "template")
    assert shown["message"].endswith(" inbound/2026/447700900000/bbbbbbbb-cccc-dddd-eeee-0123456789ab.mp3")


def test_a_plugin_that_names_objects_is_shown_too(examine, tmp_path):
    marker = 'import pluggy\nhookimpl = pluggy.HookimplMarker("tapekeeper")\n'
    hook = '@hookimpl\ndef object_key(recording): return "mine/" + recording.recording_uuid\n'
    (tmp_path / "plugins" / "namer.py").write_text(marker + hook)
    _, theirs = of(examine()[0], "template")
    assert theirs["message"].endswith(" mine/bbbbbbbb-cccc-dddd-eeee-0123456789ab")


def test_hosts_of_a_trial_are_pointed_out(examine):
    findings, done = examine(RECORDING_HOSTS="http://127.0.0.1:4010 .com")
    messages = " ".join(one["message"] for one in of(findings, "hosts", "warning"))
    assert "gives the token to http://127.0.0.1:4010, as one does for a simulator" in messages
    assert "gives the token to all of .com" in messages
    findings, _ = examine(RECORDING_HOSTS="vonage.example")
    assert "leaves out api.nexmo.com" in of(findings, "hosts", "warning")[0]["message"]
    assert done.exit_code == 0


def test_flows_that_cannot_work_well_are_pointed_out(examine):
    findings, _ = examine(CALL_FLOW="moderated", VONAGE_NUMBER="447700900002")
    told = " ".join(one["message"] for one in of(findings, "flows", "warning"))
    assert "FORWARD_TO is VONAGE_NUMBER" in told
    assert "MODERATORS is empty" in told


def test_a_short_key_is_pointed_out_and_an_application_id_that_is_none_is_an_error(broken):
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    pem = short.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    done = broken(VONAGE_PRIVATE_KEY=pem, VONAGE_APPLICATION_ID="a1b2c3d4")
    assert "RSA, 1024 bits; it signs a token of 600 s for nobody." in done.stdout
    assert "1024 bits are too few." in done.stdout
    assert "VONAGE_APPLICATION_ID is 'a1b2c3d4'." in done.stdout
    assert "Write the application's id" in done.stdout


def test_a_key_that_was_pasted_into_the_wrong_variable_is_not_printed(broken):
    pasted = '{"type": "service_account", "private_key": "-----BEGIN PRIVATE KEY-----\\nhunter2\\n-----END"}'
    connection = "DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=hunter2==;EndpointSuffix=core.windows.net"
    done = broken(GOOGLE_APPLICATION_CREDENTIALS=pasted, AZURE_STORAGE_ACCOUNT=connection)
    assert "AZURE_STORAGE_ACCOUNT = DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=***;" in done.stdout
    assert "hunter2" not in done.stdout + done.stderr


def test_a_database_that_is_away_is_an_error_without_its_password(broken):
    done = broken("--json", DATABASE_URL="postgres://me:hunter2@127.0.0.1:9/x")
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    assert "Check DATABASE_URL" in of(findings, "database", "error")[0]["mend"]
    assert "Check DATABASE_URL" in of(findings, "work", "error")[0]["mend"]
    assert of(findings, "storage", "ok"), "the rest is looked at all the same"
    assert "hunter2" not in done.stdout + done.stderr


PASTED_KEY = '{"type": "service_account", "private_key": "-----BEGIN PRIVATE KEY-----\\nhunter2hunter2\\n-----END'
PASTED_STRING = "DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=hunter2hunter2==;EndpointSuffix=core"


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_secret_in_the_wrong_variable_or_in_an_error_is_masked(broken, tmp_path, options):
    (tmp_path / "plugins" / "teller.py").write_text(
        LIAR.format(fault="def check(self): raise RuntimeError('sftp://me:hunter2@files.example: AccountKey=hunter2')")
    )
    (tmp_path / "plugins" / "bad.py").write_text("raise RuntimeError('ftp://me:hunter2@files.example')")
    wrong = {"GOOGLE_APPLICATION_CREDENTIALS": PASTED_KEY, "AZURE_STORAGE_ACCOUNT": PASTED_STRING}
    done = broken(*options, STORAGE_URL=f"liar://{tmp_path}/tapes", GREETING="Bearer hunter2hunter2hunter2", **wrong)
    assert "AZURE_STORAGE_ACCOUNT = " in done.stdout
    assert "files.example" in done.stdout
    assert "hunter2" not in done.stdout + done.stderr


def test_a_catalogue_that_everybody_can_read_is_pointed_out(deploy, tmp_path):
    deployment = deploy(PUBLIC_URL=DEAF)
    deployment.announce()
    tmp_path.chmod(0o755)
    assert not of(deployment.objects("doctor"), "database", "warning")
    (tmp_path / "tapekeeper.db").chmod(0o644)
    (warning,) = of(deployment.objects("doctor"), "database", "warning")
    assert "Everybody on this machine can read the catalogue" in warning["message"]
    assert f"chmod o= {tmp_path}/tapekeeper.db" in warning["mend"]
    tmp_path.chmod(0o750)  # nobody else gets to the file
    assert not of(deployment.objects("doctor"), "database", "warning")


def test_webhooks_without_a_signature_are_pointed_out_with_what_anybody_can_do_then(examine):
    (warning,) = of(examine(ALLOW_UNSIGNED_WEBHOOKS="true")[0], "settings", "warning")
    for told in ("announce recordings", "fill the database", "FORWARD_TO"):
        assert told in warning["message"]


def test_copies_that_nobody_archives_are_pointed_out(deploy):
    deployment = deploy(PUBLIC_URL=DEAF)
    deployment.announce()
    (due,) = [one for one in deployment.objects("doctor") if "are due" in one["message"]]
    assert due["level"] == "ok"
    assert re.fullmatch(r"Copies that are due: 1, the oldest for \d+ seconds\.", due["message"])
    with deployment.wiring.database.write() as connection:
        connection.execute(update(copies).values(due_at=datetime.now(UTC) - timedelta(hours=5)))
    (late,) = [one for one in deployment.objects("doctor") if "oldest has been waiting for 5 hours" in one["message"]]
    assert (late["level"], "flask worker" in late["mend"]) == ("warning", True)


def test_a_public_address_that_leads_elsewhere_or_nowhere_is_a_warning(examine, vonage):
    findings, done = examine(PUBLIC_URL=vonage.origin)
    assert any("which this app does not" in one["message"] for one in of(findings, "public url", "warning"))
    findings, done = examine(PUBLIC_URL=DEAF)
    (unreachable,) = [one for one in of(findings, "public url", "warning") if "cannot be reached" in one["message"]]
    assert unreachable["message"] == f"{DEAF}/healthz cannot be reached from here: nothing listens there."
    assert done.exit_code == 0


def test_every_variable_of_the_table_can_be_shown(deploy):
    """A new setting must not break the doctor."""
    deployment = deploy(PUBLIC_URL=DEAF, AZURE_STORAGE_KEY="hunter2", GREETING="Hello.")
    shown = " ".join(finding.message for finding in values(deployment.wiring))
    assert "AZURE_STORAGE_KEY = *** (7 characters)" in shown
    assert "GREETING = Hello." in shown
    for name, default, *_ in settings.variables():
        value = getattr(deployment.wiring.settings, name.lower(), None)
        if value is not None:
            assert (f"{name} = " in shown) == (value != default)
