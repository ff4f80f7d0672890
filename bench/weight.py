"""The bytes that each page loads when a browser opens it for the first time."""

from __future__ import annotations

from playwright.sync_api import Browser, StorageState

from recordings.access import Role
from simulator import PretendVonage, public_pem
from simulator.demo import new_private_key
from tests.browser.served import Served, browsing, chromium, serve, sign_in, weight
from tests.services.application import APPLICATION_ID, SIGNATURE_SECRET

from .stage import LeftOut, Options, folder
from .table import Row, below, spread

KIB = 1024
GOAL = 150.0
PAGES = {"Overview": "/", "Recordings": "/recordings", "Attention": "/attention", "System": "/system"}


def run(options: Options) -> tuple[list[Row], list[str]]:
    """In Chromium, signed in, over the wire: compressed where the server compresses, headers included."""
    if chromium() is None:
        raise LeftOut("Chromium is not installed: apt-get install chromium")
    private_key = new_private_key()
    vonage = PretendVonage(APPLICATION_ID, public_pem(private_key), SIGNATURE_SECRET)
    with folder() as home, vonage, serve(home, private_key, vonage) as served, browsing() as browser:
        pages = PAGES | {"a recording with its waveform": served.rows["split"]}
        state = _signed_in(browser, served)
        weights = {name: _weight(browser, served, state, address) / KIB for name, address in pages.items()}
    return [
        Row(f"first load: {name}", spread([kib], " KiB"), goal=below(GOAL, " KiB", kib))
        for name, kib in weights.items()
    ], ["Chromium, signed in, nothing of ours in its cache; audio is not loaded before somebody plays it"]


def _signed_in(browser: Browser, served: Served) -> StorageState:
    with browser.new_context(base_url=served.app.url) as context:
        sign_in(context.new_page(), Role.ADMIN.word)
        return context.storage_state()


def _weight(browser: Browser, served: Served, state: StorageState, address: str) -> int:
    return weight(browser.new_context(base_url=served.app.url, storage_state=state).new_page(), address)
