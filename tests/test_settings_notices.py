"""The settings of who is told: people by NOTIFY_URLS, a program by EVENT_WEBHOOK_URL and EVENT_WEBHOOK_SECRET."""

from __future__ import annotations

import pytest

from settings import SettingsError, lacking, load

SECRET = "whsec_" + "QUJD" * 10


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("NOTIFY_URLS", "mailto://u:p@a.example?to=b@c.example,d@c.example", None),
        ("NOTIFY_URLS", "json://a.example,slack://a/b/c\n'msteams://x/y'", ("json://a.example", "slack://a/b/c", "msteams://x/y")),
        ("EVENT_WEBHOOK_URL", "https://crm.example.com/hooks?key=x", "https://crm.example.com/hooks?key=x"),
        ("EVENT_WEBHOOK_URL", "http://127.0.0.1:9000/hook", "http://127.0.0.1:9000/hook"),
        ("EVENT_WEBHOOK_URL", "http://localhost:9000", "http://localhost:9000"),
        ("EVENT_WEBHOOK_URL", "http://[::1]:9000", "http://[::1]:9000"),
        ("EVENT_WEBHOOK_SECRET", f"{SECRET},{SECRET[:-4]}", (SECRET, SECRET[:-4])),
    ],
)  # fmt: skip
def test_a_good_value_is_understood(name, text, value):
    assert getattr(load({name: text}), name.lower()) == (value or (text,))


@pytest.mark.parametrize(
    ("name", "text", "mend"),
    [
        ("NOTIFY_URLS", "slack:hunter2secret", "apprise"),
        ("NOTIFY_URLS", "hunter2secret", "apprise"),
        ("NOTIFY_URLS", "json://u:hunter2secret@h json://u:hunter2secret@h", "once"),
        ("EVENT_WEBHOOK_URL", "http://crm.example.com/hunter2secret", "http only to this machine"),
        ("EVENT_WEBHOOK_URL", "http://127.0.0.1.example.com/", "http only to this machine"),
        ("EVENT_WEBHOOK_URL", "https://u:hunter2secret@h/hook", "without user and password"),
        ("EVENT_WEBHOOK_SECRET", "whsec_hunter2secret", "openssl rand"),
        ("EVENT_WEBHOOK_SECRET", SECRET.removeprefix("whsec_"), "openssl rand"),
    ],
)
def test_a_wrong_value_is_never_shown_and_the_line_says_what_to_write(name, text, mend):
    with pytest.raises(SettingsError) as caught:
        load({name: text})
    assert str(caught.value).startswith(f"{name} is '***': ")
    assert mend in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_events_for_a_program_are_never_unsigned():
    (problem,) = (
        problem
        for problem in lacking(load({"EVENT_WEBHOOK_URL": "https://crm.example.com/hook"}))
        if problem.name.startswith("EVENT_")
    )
    assert str(problem).startswith("EVENT_WEBHOOK_SECRET is not set: write what `echo")


def test_backends_get_none_of_it():
    given = {"NOTIFY_URLS": "json://a", "EVENT_WEBHOOK_URL": "https://a.example", "EVENT_WEBHOOK_SECRET": SECRET}
    loaded = load(given | {"MINE": "yes"})
    assert dict(loaded.backend_env) == {"MINE": "yes"}
    assert not [value for value in (*given.values(), "json://a") if value in repr(loaded)]
