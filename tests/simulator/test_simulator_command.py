"""`python -m simulator` reads its arguments kindly and places calls."""

from __future__ import annotations

import pytest

from simulator.__main__ import main


@pytest.fixture(autouse=True)
def _no_settings_of_ours(monkeypatch):
    for name in ("VONAGE_APPLICATION_ID", "VONAGE_PRIVATE_KEY", "VONAGE_SIGNATURE_SECRET"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def options(tmp_path, private_key, application_id, secret):
    (tmp_path / "private.key").write_text(private_key("ours"))
    key = str(tmp_path / "private.key")
    return ["--port", "0", "--application-id", application_id, "--secret", secret, "--private-key", key]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Give --application-id"),
        (["--application-id", "a", "--secret", "b", "--public-key", "/nowhere/key"], "The key cannot be read"),
        (["--application-id", "a", "--secret", "b", "--private-key=-----BEGIN"], "The key cannot be read"),
    ],
)
def test_wrong_arguments_end_with_a_sentence(capsys, arguments, words):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert words in capsys.readouterr().err


def test_a_port_that_is_taken_ends_with_a_sentence(capsys, options, application):
    taken = application.origin.rpartition(":")[2]
    with pytest.raises(SystemExit):
        main([*options, "--port", taken])
    assert f"Port {taken} cannot be used" in capsys.readouterr().err


def test_a_call_reports_what_was_recorded_and_whether_it_was_fetched(capsys, options, application):
    record = {"action": "record", "endOnKey": "#", "eventUrl": [f"{application.origin}/recordings"]}
    application.answer("/webhooks/answer/voicemail", [record])
    assert main([*options, "call", "voicemail", "--app", application.origin, "--linger", "0"]) == 1
    told = capsys.readouterr().out
    assert "event: 204" in told
    assert "0 of 1 files were fetched" in told


def test_a_bad_ncco_is_reported(capsys, options, application):
    application.answer("/webhooks/answer/voicemail", [{"action": "record"}])
    assert main([*options, "call", "voicemail", "--app", application.origin, "--linger", "0"]) == 1
    assert "keeps the call up" in capsys.readouterr().err
