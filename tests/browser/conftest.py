"""The served deployment and the browser, one of each for all tests here, and pages that somebody has signed in to."""

from __future__ import annotations

import os

import pytest

from recordings.access import Role

from .served import PATIENCE, browsing, chromium, serve, sign_in


@pytest.fixture(scope="session")
def served(make_vonage, key_pem, tmp_path_factory):
    """A deployment with archived calls."""
    with make_vonage() as vonage, serve(tmp_path_factory.mktemp("served"), key_pem, vonage) as deployment:
        yield deployment


@pytest.fixture(scope="session")
def browser():
    """Chromium. Where it is missing the test is skipped; with CI=true it fails."""
    if chromium() is None:
        message = "Chromium is not installed: apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    with browsing() as running:
        yield running


@pytest.fixture(scope="session")
def signed_in(browser, served):
    """`signed_in(role)`: the cookies of somebody with this role, who has filled in the form."""
    states = {}

    def cookies(role):
        if role not in states:
            context = browser.new_context(base_url=served.app.url)
            sign_in(context.new_page(), role.word)
            states[role] = context.storage_state()
            context.close()
        return states[role]

    return cookies


@pytest.fixture
def visit(browser, served, signed_in):
    """`visit(path, role, **options)`: a page that somebody with this role has opened; None: a stranger.

    In the end no page may have written an error into the console, or asked another host for anything.
    """
    contexts, problems = [], []

    def watch(page):
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: None if is_ours(request.url) else problems.append(request.url))

    def is_ours(url):
        return url.startswith((served.app.url, "data:", "blob:"))

    def open_page(path="/", role=Role.OPERATOR, *, script="", **options):
        state = signed_in(role) if role else None
        chosen = {"locale": "en-GB", "timezone_id": "Europe/Berlin", "viewport": {"width": 1440, "height": 900}}
        context = browser.new_context(base_url=served.app.url, storage_state=state, **chosen | options)
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        if script:
            context.add_init_script(script)
        page = context.new_page()
        watch(page)
        page.goto(path)
        return page

    open_page.problems = problems
    yield open_page
    for context in contexts:
        context.close()
    assert problems == []
