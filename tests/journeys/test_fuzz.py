"""Whatever is sent, with a seed: no 5xx but 503, no redirect below /webhooks, and the service answers afterwards."""

from __future__ import annotations

import pytest

from tests.chaos.fuzz import fuzz, resident

SECRET = "a-signature-secret-that-is-long-enough"
MIB = 2**20


@pytest.mark.parametrize("unsigned", ["false", "true"])
def test_random_requests_break_no_promise(deploy, post, vonage, unsigned):
    gunicorn, archive = deploy(ALLOW_UNSIGNED_WEBHOOKS=unsigned, VONAGE_SIGNATURE_SECRET=SECRET)
    gunicorn.start()
    fuzz(gunicorn.url, SECRET, requests=500, seed=99)  # every part is loaded now
    before = resident(gunicorn.pid)
    account = fuzz(gunicorn.url, SECRET, requests=1500)
    assert account.faults == []
    assert {200, 204, 400, 401, 404, 405, 413} <= account.statuses.keys(), account
    assert account.slowest < 10, account
    assert resident(gunicorn.pid) - before < 48 * MIB
    file = vonage.add_file()
    archive.wait_stored(post(gunicorn, file), file)
    log = gunicorn.log.read_text()
    assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:3000]
