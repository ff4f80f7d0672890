"""The table of settings: what each variable takes, and the one line that a wrong value gets."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import settings
from recordings.masking import masked
from settings import ROOT, Settings, SettingsError, load, require_serving, survey, variables

APPLICATION_ID = "aaaaaaaa-bbbb-cccc-dddd-0123456789ab"
COMPLETE = {
    "VONAGE_APPLICATION_ID": APPLICATION_ID,
    "VONAGE_PRIVATE_KEY": "/a/path",
    "VONAGE_SIGNATURE_SECRET": "s3cret",
    "PUBLIC_URL": "https://calls.example.com",
}

GOOD = [
    ("VONAGE_APPLICATION_ID", f" {APPLICATION_ID}\n", APPLICATION_ID),
    ("VONAGE_APPLICATION_ID", APPLICATION_ID.upper(), APPLICATION_ID),
    ("VONAGE_APPLICATION_ID", f"\ufeff{APPLICATION_ID}\u200b\u00a0\r", APPLICATION_ID),
    ("VONAGE_APPLICATION_ID", f"\u202a'{APPLICATION_ID}'\u202c", APPLICATION_ID),
    ("VONAGE_PRIVATE_KEY", "-----BEGIN PRIVATE KEY-----\\n", "-----BEGIN PRIVATE KEY-----\\n"),
    ("VONAGE_SIGNATURE_SECRET", "old", ("old",)),
    ("VONAGE_SIGNATURE_SECRET", " old,  new\nnewest ", ("old", "new", "newest")),
    ("VONAGE_SIGNATURE_SECRET", '"0123456789abcdef0123456789abcdef"', ("0123456789abcdef0123456789abcdef",)),
    ("VONAGE_SIGNATURE_SECRET", "'old;new'", ("old", "new")),
    ("VONAGE_SIGNATURE_SECRET", '"old", "new"', ("old", "new")),
    ("VONAGE_SIGNATURE_SECRET", "\ufeffsecret\u200b", ("secret",)),
    ("VONAGE_PRIVATE_KEY", '"-----BEGIN\n\u200bx\n"', "-----BEGIN\n\u200bx"),
    ("ALLOW_UNSIGNED_WEBHOOKS", "TRUE", True),
    ("ALLOW_UNSIGNED_WEBHOOKS", '"true"', True),
    ("ALLOW_UNSIGNED_WEBHOOKS", "0", False),
    ("EMBEDDED_WORKER", "no", False),
    ("EMBEDDED_WORKER", " on ", True),
    ("ALLOW_EPHEMERAL_STORAGE", "yes", True),
    ("SIGNATURE_MAX_AGE_SECONDS", "30", 30),
    ("PUBLIC_URL", "https://calls.example.com/", "https://calls.example.com"),
    ("PUBLIC_URL", "https://example.com/calls/", "https://example.com/calls"),
    ("PUBLIC_URL", "http://127.0.0.1:8000", "http://127.0.0.1:8000"),
    ("PUBLIC_URL", "https://example.com/webhooks-of/tapes", "https://example.com/webhooks-of/tapes"),
    ("PUBLIC_URL", "https://example.com/webhooks/tapekeeper", "https://example.com/webhooks/tapekeeper"),
    ("PUBLIC_URL", "http://[::1]:8000", "http://[::1]:8000"),
    ("RECORDING_HOSTS", ".nexmo.com,.vonage.com; api.example", (".nexmo.com", ".vonage.com", "api.example")),
    ("RECORDING_HOSTS", ".nexmo.com http://127.0.0.1:4010", (".nexmo.com", "http://127.0.0.1:4010")),
    ("DATABASE_URL", "postgres://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
    ("DATABASE_URL", "postgresql://u:p@h:5432/d?sslmode=require", "postgresql+psycopg://u:p@h:5432/d?sslmode=require"),
    ("DATABASE_URL", "postgresql+psycopg://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
    ("DATABASE_URL", "sqlite:///var/x.db", f"sqlite:///{ROOT}/var/x.db"),
    ("DATABASE_URL", "sqlite:////srv/x.db", "sqlite:////srv/x.db"),
    ("DATABASE_URL", "'sqlite:////srv/x.db'\r", "sqlite:////srv/x.db"),
    ("DATABASE_URL", "postgres://u:p%40ss%2F@h/d", "postgresql+psycopg://u:p%40ss%2F@h/d"),
    ("DATABASE_URL", "postgres://u:p:ss@[::1]:5432/d", "postgresql+psycopg://u:p:ss@[::1]:5432/d"),
    ("DATABASE_URL", "postgres://h1,h2/d", "postgresql+psycopg://h1,h2/d"),
    ("DATABASE_URL", "postgres:///d?host=/var/run/postgresql", "postgresql+psycopg:///d?host=/var/run/postgresql"),
    (
        "DATABASE_URL",
        "postgres:///d?host=a:5432&host=b:5433&connect_timeout=5&application_name=me%40home",
        "postgresql+psycopg:///d?host=a:5432&host=b:5433&connect_timeout=5&application_name=me%40home",
    ),
    ("WORKER_THREADS", "64", 64),
    ("WORKER_THREADS", '"8"', 8),
    ("LEASE_SECONDS", " 3 ", 3),
    ("RETRY_FIRST_SECONDS", "1", 1),
    ("RETRY_MAX_SECONDS", "86400", 86400),
    ("STORAGE_URL", "file:///srv/recordings/", ("file:///srv/recordings",)),
    ("STORAGE_URL", "gs://bucket/prefix\naz://container", ("gs://bucket/prefix", "az://container")),
    ("STORAGE_URL", "my-store+x.1://anything", ("my-store+x.1://anything",)),
    ("STORAGE_URL", "file:///a,file:///b", ("file:///a", "file:///b")),
    ("STORAGE_URL", "file:///a; file:///b ,gs://c,", ("file:///a", "file:///b", "gs://c")),
    ("STORAGE_URL", '"file:///a" "file:///b"', ("file:///a", "file:///b")),
    ("STORAGE_URL", "file:///srv/a,b@c:d", ("file:///srv/a,b@c:d",)),
    ("STORAGE_KEY_TEMPLATE", "{recording_uuid}.{ext}", "{recording_uuid}.{ext}"),
    ("PLUGINS_DIR", "mine", ROOT / "mine"),
    ("PLUGINS_DIR", "/srv/plugins", ROOT.__class__("/srv/plugins")),
    ("PLUGINS_DISABLED", "a, b c", ("a", "b", "c")),
    ("CALL_FLOW", "Split", "split"),
    ("FORWARD_TO", "+44 (7700) 900-000", "447700900000"),
    ("VONAGE_NUMBER", "447700900000", "447700900000"),
    ("FORWARD_TO", "+44 (0)20 7946 0958", "442079460958"),
    ("FORWARD_TO", "4402079460958", "442079460958"),
    ("FORWARD_TO", "0044 20 7946 0958", "442079460958"),
    ("FORWARD_TO", "\u202a+44\u00a020\u20117946\u20110958\u202c", "442079460958"),
    ("FORWARD_TO", "+39 06 698 12345", "390669812345"),
    ("VONAGE_NUMBER", "12015550123", "12015550123"),
    ("RECORDING_FORMAT", "WAV", "wav"),
    ("GREETING", " Hello. ", "Hello."),
    ("GREETING", '"Hello" and "goodbye"', '"Hello" and "goodbye"'),
    ("GREETING", "a" * 2000, "a" * 1500),
    ("CONVERSATION_NAME", "room 1", "room 1"),
    ("MODERATORS", "447700900001", ("447700900001",)),
    ("MODERATORS", "+44 7700 900001, +1 212 555 0100", ("447700900001", "12125550100")),
    ("MODERATORS", "447700900001 447700900002;447700900003", ("447700900001", "447700900002", "447700900003")),
    ("MODERATORS", "44 7700900001, 44 7700 900002", ("447700900001", "447700900002")),
    ("MODERATORS", "+44 7700 900001\n+44 7700 900002", ("447700900001", "447700900002")),
    ("MODERATORS", "'+49 30 123456'; \u202a4930123457\u202c", ("4930123456", "4930123457")),
    ("HOLD_MUSIC_URL", "https://example.com/a.mp3", "https://example.com/a.mp3"),
    ("LOG_FORMAT", "JSON", "json"),
    ("LOG_LEVEL", "debug", "DEBUG"),
]

BAD = [
    ("VONAGE_APPLICATION_ID", "a1b2c3d4", "copy it, not the API key"),
    ("VONAGE_APPLICATION_ID", APPLICATION_ID.replace("-", ""), "aaaaaaaa-bbbb-"),
    ("VONAGE_SIGNATURE_SECRET", "\u2026", "plain ASCII"),
    ("VONAGE_SIGNATURE_SECRET", "'old new", "without quotes"),
    ("VONAGE_SIGNATURE_SECRET", "0123\u200b4567", "copy it from the dashboard once more"),
    ("ALLOW_UNSIGNED_WEBHOOKS", "maybe", "true or false"),
    ("EMBEDDED_WORKER", "2", "true or false"),
    ("SIGNATURE_MAX_AGE_SECONDS", "29", "30 to 86400"),
    ("PUBLIC_URL", "calls.example.com", "https"),
    ("PUBLIC_URL", "ftp://calls.example.com", "https"),
    ("PUBLIC_URL", "https://", "https"),
    ("PUBLIC_URL", "https://calls.example.com/?x=1", "https"),
    ("PUBLIC_URL", "https://calls.example.com/#x", "https"),
    ("PUBLIC_URL", "https://user@calls.example.com", "https"),
    ("PUBLIC_URL", "https://[", "https://calls.example.com"),
    ("PUBLIC_URL", "https://calls.example.com:port", "https://calls.example.com"),
    ("PUBLIC_URL", "https://calls. example.com", "https://calls.example.com"),
    ("PUBLIC_URL", "https://calls.example.com/webhooks", "without /webhooks"),
    ("PUBLIC_URL", "https://calls.example.com/webhooks/recordings/", "without /webhooks"),
    ("PUBLIC_URL", "https://calls.example.com/tapes/webhooks/answer/call", "without /webhooks"),
    ("PUBLIC_URL", "https://user:secret@calls.example.com", "https"),
    ("PUBLIC_URL", "https://calls.example.com?", "https"),
    ("PUBLIC_URL", "https://calls.example.com//tapes", "https"),
    ("PUBLIC_URL", "https://calls.example.com:0", "https"),
    ("DATABASE_URL", "postgres://u:hunter@2secret@127.0.0.1:5432/d", "@ as %40"),
    ("DATABASE_URL", "postgres://u:hunter/2secret@127.0.0.1:5432/d", "/ as %2F"),
    ("DATABASE_URL", "postgres://u:hunter?2secret@127.0.0.1:5432/d", "? as %3F"),
    ("DATABASE_URL", "postgres://u:hunter#2secret@127.0.0.1:5432/d", "# as %23"),
    ("DATABASE_URL", "postgres://u:hunter 2secret@127.0.0.1:5432/d", "a space as %20"),
    ("DATABASE_URL", "postgres://u:hunter@2secret/x@127.0.0.1:5432/d", "@ as %40"),
    ("DATABASE_URL", "postgres://h:5432/d?application_name=me@home", "@ as %40"),
    ("DATABASE_URL", "postgres://u:hunter%002secret@h/d", "%40"),
    ("DATABASE_URL", "postgres://u:hunter2secret@h/d?schema=public", "take out or mend schema"),
    ("DATABASE_URL", "postgres://u:hunter2secret@h/d?sslmode=always", "take out or mend sslmode"),
    ("DATABASE_URL", "postgres://u:hunter2secret@h/d?connect_timeout=soon", "take out or mend connect_timeout"),
    ("DATABASE_URL", "postgres://u:hunter2secret@h/d?prepare_threshold=0", "take out or mend prepare_threshold"),
    ("DATABASE_URL", "postgres://u:hunter2secret@h:70000/d", "postgres://user:password@host/database"),
    ("DATABASE_URL", "postgres://u:hunter2secret@h:/d", "postgres://user:password@host/database"),
    ("DATABASE_URL", "postgres://u:hunter2secret@%2Fvar%2Frun/d", "?host=/its/folder"),
    ("DATABASE_URL", "sqlite:////srv/t.db?timeout=30", "takes no ?"),
    ("DATABASE_URL", "sqlite:////srv/", "sqlite:///path/to/file.db"),
    ("DATABASE_URL", "sqlite:///file:x.db", "sqlite:///path/to/file.db"),
    ("DATABASE_URL", "mysql://u:p@h/d", "sqlite:///path/to/file.db"),
    ("DATABASE_URL", "sqlite://", "sqlite:///path/to/file.db"),
    ("DATABASE_URL", "sqlite:///:memory:", "sqlite:///path/to/file.db"),
    ("DATABASE_URL", "postgres://", "postgres://user:password@host/database"),
    ("WORKER_THREADS", "0", "1 to 64"),
    ("WORKER_THREADS", "65", "1 to 64"),
    ("WORKER_THREADS", "eight", "1 to 64"),
    ("WORKER_THREADS", "\u0668", "1 to 64"),
    ("WORKER_THREADS", "8.0", "1 to 64"),
    ("WORKER_THREADS", "9" * 5000, "1 to 64"),
    ("LEASE_SECONDS", "2", "3 to 3600"),
    ("RETRY_FIRST_SECONDS", "-1", "1 to 3600"),
    ("RETRY_MAX_SECONDS", "0", "1 to 86400"),
    ("STORAGE_URL", "/srv/recordings", "file:///dir"),
    ("STORAGE_URL", "gs:bucket", "gs://bucket"),
    ("STORAGE_URL", "file:///a,gs://b ftp", "spaces between"),
    ("STORAGE_URL", "file:///a file:///a/", "once"),
    ("STORAGE_URL", "file:///a,/b", "spaces between"),
    ("STORAGE_URL", "file:///a,gs:b", "spaces between"),
    ("STORAGE_URL", "file:///srv/\u200brecordings", "file:///dir"),
    ("STORAGE_URL", "sftp://archiver:S3cretPass@files.example/calls", "variables of their own"),
    ("STORAGE_URL", "https://S3cretPass@files.example/calls", "variables of their own"),
    ("STORAGE_URL", "az://container?sv=1&sig=S3cretPass", "variables of their own"),
    ("STORAGE_URL", "s3://[", "file:///dir"),
    ("CALL_FLOW", "recording", "voicemail, call, split, conversation, moderated"),
    ("FORWARD_TO", "my mobile", "447700900000"),
    ("FORWARD_TO", "12", "447700900000"),
    ("FORWARD_TO", "020 7946 0958", "447700900000"),
    ("FORWARD_TO", "5551234", "447700900000"),
    ("FORWARD_TO", "+1 5551234", "447700900000"),
    ("FORWARD_TO", "+44 20 7946 0958 ext. 5", "447700900000"),
    ("FORWARD_TO", "442079460958,442079460959", "447700900000"),
    ("FORWARD_TO", "sip:442079460958@example.com", "447700900000"),
    ("VONAGE_NUMBER", "1" * 16, "447700900000"),
    ("RECORDING_FORMAT", "flac", "mp3, wav, ogg"),
    ("MODERATORS", "447700900001, nobody", "447700900000"),
    ("HOLD_MUSIC_URL", "music.mp3", "https"),
    ("MODERATORS", "44 7700 900001 44 7700 900002", "447700900000"),
    ("HOLD_MUSIC_URL", "https:///music.mp3", "https"),
    ("HOLD_MUSIC_URL", "https://[", "https address of an mp3"),
    ("LOG_FORMAT", "xml", "text, json"),
    ("LOG_LEVEL", "LOUD", "DEBUG, INFO, WARNING, ERROR"),
]

SECRETS = {name for name, _, secret, _ in variables() if secret}


@pytest.mark.parametrize(("name", "text", "value"), GOOD)
def test_a_good_value_is_understood(name, text, value):
    assert getattr(load({name: text}), name.lower()) == value


@pytest.mark.parametrize(("name", "text", "mend"), BAD, ids=lambda value: value[:40])
def test_a_wrong_value_gets_one_line_that_names_it_and_says_what_to_write(name, text, mend):
    with pytest.raises(SettingsError) as caught:
        load({name: text})
    told = str(caught.value)
    assert told.startswith(f"{name} is '***': " if name in SECRETS else f"{name} is {masked(text)!r}: ")
    assert mend in told
    assert "\n" not in told
    assert caught.value.__cause__ is None
    assert not [piece for piece in ("u:p@h", "hunter", "2secret", "S3cretPass") if piece in told]


@pytest.mark.parametrize("text", ["", " ", "\n\t ", '""', " '' ", "\ufeff\u200b"])
def test_empty_counts_as_not_set(text):
    loaded = load({name: text for name, *_ in variables()})
    assert dataclasses.replace(loaded, backend_env={}) == dataclasses.replace(load({}), backend_env={})


def test_everything_that_is_wrong_is_found_at_once_and_the_rest_is_used():
    loaded, problems = survey({"LOG_LEVEL": "LOUD", "CALL_FLOW": "split", "WORKER_THREADS": "many"})
    assert [problem.name for problem in problems] == ["WORKER_THREADS", "LOG_LEVEL"]
    assert (loaded.call_flow, loaded.log_level, loaded.worker_threads) == ("split", "INFO", 8)


@pytest.mark.parametrize("field", [f for f in dataclasses.fields(Settings) if f.metadata], ids=lambda f: f.name)
def test_every_default_is_what_its_own_parser_would_make(field):
    if field.default in ("", ()):
        return
    text = " ".join(field.default) if isinstance(field.default, tuple) else str(field.default)
    assert field.metadata["parse"](text) == field.default


FIELDS = [f for f in dataclasses.fields(Settings) if f.metadata]
PIECES = st.sampled_from([*(text for _, text, _ in GOOD), *(text for _, text, _ in BAD if len(text) < 200)])
TEXTS = st.text(max_size=40) | st.lists(PIECES | st.text(" \"',;@:/?#%+[]0\ufeff\u200b", max_size=4), max_size=3).map(
    "".join
)


@given(st.sampled_from(FIELDS), TEXTS)
def test_no_text_fails_otherwise_and_what_is_accepted_stays_the_same_when_it_is_parsed_again(field, text):
    name = field.name.upper()
    loaded, problems = survey({name: text})
    # The two bounds of the waits must agree, so the one may be blamed for the other.
    assert all(str(problem).startswith((f"{name} is ", "RETRY_FIRST_SECONDS is ")) for problem in problems)
    assert all(str(problem).isprintable() for problem in problems)
    value = getattr(loaded, field.name)
    again = getattr(survey({name: " ".join(value) if isinstance(value, tuple) else str(value)})[0], field.name)
    assert again == value


def test_two_settings_must_agree():
    with pytest.raises(SettingsError, match="RETRY_FIRST_SECONDS is '60': write less than RETRY_MAX_SECONDS"):
        load({"RETRY_FIRST_SECONDS": "60", "RETRY_MAX_SECONDS": "30"})


def test_another_address_for_migrations_is_of_a_postgres_and_shown_to_nobody():
    owner = "postgres://owner:S3cretPass@db/calls"
    postgres = {"DATABASE_URL": "postgres://app@db/calls", "MIGRATION_DATABASE_URL": owner}
    settings = load(postgres)
    assert settings.migration_database_url == "postgresql+psycopg://owner:S3cretPass@db/calls"
    assert "S3cretPass" not in repr(settings)
    assert "MIGRATION_DATABASE_URL" not in load(postgres | {"STORAGE_RESERVE_MB": "1"}).backend_env
    with pytest.raises(SettingsError, match=r"MIGRATION_DATABASE_URL is .*take it out") as caught:
        load(postgres | {"DATABASE_URL": "sqlite:///calls.db"})
    assert "S3cretPass" not in str(caught.value)


def test_settings_are_frozen_and_show_no_secret():
    loaded = load(COMPLETE | {"DATABASE_URL": "postgres://u:p4ss@h/d"})
    assert "s3cret" not in repr(loaded)
    assert "p4ss" not in repr(loaded)
    assert "/a/path" not in repr(loaded)
    with pytest.raises(dataclasses.FrozenInstanceError):
        loaded.call_flow = "call"


def test_backends_get_the_environment_without_what_is_only_ours():
    env = COMPLETE | {"DATABASE_URL": "postgres://u:p4ss@h/d", "AZURE_STORAGE_KEY": "k", "MY_STORE_TOKEN": "t"}
    env |= {"AZURE_STORAGE_ACCOUNT": "'account'\r", "MY_STORE_QUOTE": "'"}
    given = load(env).backend_env
    assert (given["AZURE_STORAGE_ACCOUNT"], given["MY_STORE_QUOTE"]) == ("account", "'")
    assert (given["AZURE_STORAGE_KEY"], given["MY_STORE_TOKEN"]) == ("k", "t")
    assert not {"VONAGE_PRIVATE_KEY", "VONAGE_SIGNATURE_SECRET", "DATABASE_URL"} & given.keys()


def test_the_process_environment_is_read_where_none_is_given(monkeypatch):
    monkeypatch.setenv("CALL_FLOW", "moderated")
    assert load().call_flow == "moderated"
    assert settings.load({}).call_flow == "voicemail"


# --- What serving needs -----------------------------------------------------------------------------------------------


def test_what_is_complete_may_serve():
    assert require_serving(load(COMPLETE)).public_url == "https://calls.example.com"


@pytest.mark.parametrize("name", COMPLETE)
def test_each_of_the_four_is_needed(name):
    rest = {key: value for key, value in COMPLETE.items() if key != name}
    with pytest.raises(SettingsError, match=f"^{name} is not set: "):
        require_serving(load(rest))


def test_unsigned_webhooks_need_no_secret():
    rest = {key: value for key, value in COMPLETE.items() if key != "VONAGE_SIGNATURE_SECRET"}
    assert require_serving(load(rest | {"ALLOW_UNSIGNED_WEBHOOKS": "true"}))


@pytest.mark.parametrize("flow", settings.FLOWS)
def test_a_flow_that_forwards_needs_a_number(flow):
    chosen = load(COMPLETE | {"CALL_FLOW": flow})
    if flow in ("call", "split"):
        with pytest.raises(SettingsError, match=f"FORWARD_TO is not set: .*CALL_FLOW={flow}"):
            require_serving(chosen)
    else:
        require_serving(chosen)
    require_serving(load(COMPLETE | {"CALL_FLOW": flow, "FORWARD_TO": "447700900000"}))


# --- The file .env ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the code with a `.env` of its own, as an editor of Windows writes it."""
    folder = tmp_path_factory.mktemp("checkout")
    for path in ROOT.glob("*.py"):
        shutil.copy(path, folder)
    for room in (path.parent for path in ROOT.glob("*/__init__.py") if path.parent.name not in ("tests", "bench")):
        shutil.copytree(room, folder / room.name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / ".env").write_text('\ufeffWORKER_THREADS="many"\r\nexport LEASE_SECONDS=1 # short\r\n', "utf-8")
    return folder


@pytest.fixture(params=["gunicorn", "flask"])
def complaint(request, checkout, bare_environ):
    """`complaint(**environment)`: the line with which gunicorn, or a command of `flask`, ends in that checkout."""
    words = {
        "gunicorn": ["gunicorn", "wsgi:create_app()", "--bind", "127.0.0.1:0"],
        "flask": ["flask", "simulate", "call", "voicemail", "--url", "http://127.0.0.1:1"],
    }

    def run(**environment):
        env = bare_environ | {"FLASK_SKIP_DOTENV": "0"} | environment
        command = [sys.executable, "-m", *words[request.param]]
        done = subprocess.run(command, cwd=checkout, env=env, capture_output=True, text=True, timeout=60)
        assert "Traceback" not in done.stderr
        assert done.returncode in (1, 3)
        return next(line for line in done.stderr.splitlines() if line.startswith(("Error: ", "tapekeeper cannot")))

    return run


def test_gunicorn_and_flask_read_env_alike(complaint):
    assert "WORKER_THREADS is 'many': write a whole number" in complaint()


def test_the_real_environment_wins_over_env(complaint):
    assert "LEASE_SECONDS is '1': " in complaint(WORKER_THREADS="4")


def test_env_is_not_read_where_that_is_forbidden(complaint):
    line = complaint(FLASK_SKIP_DOTENV="1")
    assert "WORKER_THREADS" not in line
    assert "LEASE_SECONDS" not in line


def test_an_env_file_that_cannot_be_read_is_told_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("FLASK_SKIP_DOTENV", "0")
    settings.read_env_file(tmp_path)
    (tmp_path / ".env").write_bytes(b"GREETING=\xff\n")
    with pytest.raises(SettingsError, match=r"\.env is 'it is not UTF-8': make it a text file"):
        settings.read_env_file(tmp_path)
