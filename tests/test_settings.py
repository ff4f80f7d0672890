"""The table of settings: what each variable takes, and the one line that a wrong value gets."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

import settings
from settings import ROOT, Settings, SettingsError, load, require_serving, survey, variables

COMPLETE = {
    "VONAGE_APPLICATION_ID": "the-application",
    "VONAGE_PRIVATE_KEY": "/a/path",
    "VONAGE_SIGNATURE_SECRET": "s3cret",
    "PUBLIC_URL": "https://calls.example.com",
}

GOOD = [
    ("VONAGE_APPLICATION_ID", " the-application\n", "the-application"),
    ("VONAGE_PRIVATE_KEY", "-----BEGIN PRIVATE KEY-----\\n", "-----BEGIN PRIVATE KEY-----\\n"),
    ("VONAGE_SIGNATURE_SECRET", "old", ("old",)),
    ("VONAGE_SIGNATURE_SECRET", " old,  new\nnewest ", ("old", "new", "newest")),
    ("ALLOW_UNSIGNED_WEBHOOKS", "TRUE", True),
    ("ALLOW_UNSIGNED_WEBHOOKS", "0", False),
    ("EMBEDDED_WORKER", "no", False),
    ("EMBEDDED_WORKER", " on ", True),
    ("ALLOW_EPHEMERAL_STORAGE", "yes", True),
    ("SIGNATURE_MAX_AGE_SECONDS", "30", 30),
    ("PUBLIC_URL", "https://calls.example.com/", "https://calls.example.com"),
    ("PUBLIC_URL", "https://example.com/calls/", "https://example.com/calls"),
    ("PUBLIC_URL", "http://127.0.0.1:8000", "http://127.0.0.1:8000"),
    ("RECORDING_HOSTS", ".nexmo.com http://127.0.0.1:4010", (".nexmo.com", "http://127.0.0.1:4010")),
    ("DATABASE_URL", "postgres://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
    ("DATABASE_URL", "postgresql://u:p@h:5432/d?sslmode=require", "postgresql+psycopg://u:p@h:5432/d?sslmode=require"),
    ("DATABASE_URL", "postgresql+psycopg://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
    ("DATABASE_URL", "sqlite:///var/x.db", f"sqlite:///{ROOT}/var/x.db"),
    ("DATABASE_URL", "sqlite:////srv/x.db", "sqlite:////srv/x.db"),
    ("WORKER_THREADS", "64", 64),
    ("LEASE_SECONDS", " 3 ", 3),
    ("RETRY_FIRST_SECONDS", "1", 1),
    ("RETRY_MAX_SECONDS", "86400", 86400),
    ("STORAGE_URL", "file:///srv/recordings/", ("file:///srv/recordings",)),
    ("STORAGE_URL", "gs://bucket/prefix\naz://container", ("gs://bucket/prefix", "az://container")),
    ("STORAGE_URL", "my-store+x.1://anything", ("my-store+x.1://anything",)),
    ("STORAGE_KEY_TEMPLATE", "{recording_uuid}.{ext}", "{recording_uuid}.{ext}"),
    ("PLUGINS_DIR", "mine", ROOT / "mine"),
    ("PLUGINS_DIR", "/srv/plugins", ROOT.__class__("/srv/plugins")),
    ("PLUGINS_DISABLED", "a, b c", ("a", "b", "c")),
    ("CALL_FLOW", "Split", "split"),
    ("FORWARD_TO", "+44 (7700) 900-000", "447700900000"),
    ("VONAGE_NUMBER", "447700900000", "447700900000"),
    ("RECORDING_FORMAT", "WAV", "wav"),
    ("GREETING", " Hello. ", "Hello."),
    ("GREETING", "a" * 2000, "a" * 1500),
    ("CONVERSATION_NAME", "room 1", "room 1"),
    ("MODERATORS", "447700900001", ("447700900001",)),
    ("MODERATORS", "+44 7700 900001, +1 212 555 0100", ("447700900001", "12125550100")),
    ("MODERATORS", "447700900001 447700900002;447700900003", ("447700900001", "447700900002", "447700900003")),
    ("HOLD_MUSIC_URL", "https://example.com/a.mp3", "https://example.com/a.mp3"),
    ("LOG_FORMAT", "JSON", "json"),
    ("LOG_LEVEL", "debug", "DEBUG"),
]

BAD = [
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
    ("CALL_FLOW", "recording", "voicemail, call, split, conversation, moderated"),
    ("FORWARD_TO", "my mobile", "447700900000"),
    ("FORWARD_TO", "12", "447700900000"),
    ("VONAGE_NUMBER", "1" * 16, "447700900000"),
    ("RECORDING_FORMAT", "flac", "mp3, wav, ogg"),
    ("MODERATORS", "447700900001, nobody", "447700900000"),
    ("HOLD_MUSIC_URL", "music.mp3", "https"),
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
    assert told.startswith(f"{name} is '***': " if name in SECRETS else f"{name} is {text!r}: ")
    assert mend in told
    assert "\n" not in told
    assert caught.value.__cause__ is None
    assert "u:p@h" not in told


@pytest.mark.parametrize("text", ["", " ", "\n\t "])
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


@given(st.sampled_from([f for f in dataclasses.fields(Settings) if f.metadata]), st.text(max_size=40))
def test_no_text_fails_otherwise(field, text):
    _, problems = survey({field.name.upper(): text})
    assert all(str(problem).startswith(field.name.upper()) for problem in problems)


def test_two_settings_must_agree():
    with pytest.raises(SettingsError, match="RETRY_FIRST_SECONDS is '60': write less than RETRY_MAX_SECONDS"):
        load({"RETRY_FIRST_SECONDS": "60", "RETRY_MAX_SECONDS": "30"})


def test_settings_are_frozen_and_show_no_secret():
    loaded = load(COMPLETE | {"DATABASE_URL": "postgres://u:p4ss@h/d"})
    assert "s3cret" not in repr(loaded)
    assert "p4ss" not in repr(loaded)
    assert "/a/path" not in repr(loaded)
    with pytest.raises(dataclasses.FrozenInstanceError):
        loaded.call_flow = "call"


def test_backends_get_the_environment_without_what_is_only_ours():
    env = COMPLETE | {"DATABASE_URL": "postgres://u:p4ss@h/d", "AZURE_STORAGE_KEY": "k", "MY_STORE_TOKEN": "t"}
    given = load(env).backend_env
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


LASTING = {"DYNO": "web.1", "DATABASE_URL": "postgres://h/d", "STORAGE_URL": "gs://bucket"}


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({}, None),
        ({"DATABASE_URL": "sqlite:///x.db"}, "DATABASE_URL"),
        ({"DATABASE_URL": ""}, "DATABASE_URL"),
        ({"STORAGE_URL": "file:///srv"}, "STORAGE_URL"),
        ({"STORAGE_URL": ""}, "STORAGE_URL"),
        ({"STORAGE_URL": "gs://bucket file:///srv"}, "STORAGE_URL"),
        ({"STORAGE_URL": "mine://x"}, None),
        ({"DATABASE_URL": "", "STORAGE_URL": "", "DYNO": ""}, None),
        ({"DATABASE_URL": "", "STORAGE_URL": "", "ALLOW_EPHEMERAL_STORAGE": "true"}, None),
    ],
)
def test_a_dyno_keeps_nothing_on_its_disk(changed, name):
    chosen = load(COMPLETE | LASTING | changed)
    if name is None:
        require_serving(chosen)
    else:
        with pytest.raises(SettingsError, match=f"^{name} is .*loses its disk daily.*ALLOW_EPHEMERAL_STORAGE"):
            require_serving(chosen)
