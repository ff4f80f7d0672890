"""`make screenshots`: the pictures of the pages in `docs/images`, of a deployment that is served for them alone."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser

from recordings.access import Actor, Role
from simulator import PretendVonage, public_pem
from simulator.application import ROOT
from simulator.demo import new_private_key
from tests.services.application import APPLICATION_ID, SIGNATURE_SECRET

from .served import PASSWORD, Served, browsing, chromium, serve, sign_in

IMAGES = ROOT / "docs" / "images"
PERSON = "anna"
CALLS = (("voicemail", "447700900417"), ("split", "14155550123"), ("call", "447700900882"), ("split", "4930200417"))
WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


def main() -> None:
    """Serve, sign in, and take each picture anew."""
    if chromium() is None:
        sys.exit("Chromium is missing: apt-get install chromium")
    folder = Path(tempfile.gettempdir()) / "tapes"  # its name is in the pictures
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        key = new_private_key()
        with (
            PretendVonage(APPLICATION_ID, public_pem(key), SIGNATURE_SECRET) as vonage,
            serve(folder, key, vonage) as served,
            browsing() as browser,
        ):
            _fill(served)
            _take(served, browser)
    finally:
        shutil.rmtree(folder)


def _fill(served: Served) -> None:
    served.people.accounts.add(PERSON, Role.OPERATOR, PASSWORD, by=Actor("root", Role.ADMIN, None, "command"))
    for flow, caller in CALLS:
        served.wait_measured(served.call(flow, caller=caller))


def _take(served: Served, browser: Browser) -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name, scheme, size, path in (
        ("overview", "light", WIDE, "/"),
        ("recordings", "light", WIDE, "/recordings"),
        ("recording", "light", WIDE, served.rows["split"]),
        ("recording-dark", "dark", WIDE, served.rows["split"]),
        ("recording-phone", "dark", NARROW, served.rows["split"]),
    ):
        context = browser.new_context(base_url=served.app.url, color_scheme=scheme, viewport=size)
        page = context.new_page()
        sign_in(page, PERSON)
        page.goto(path)
        if path == served.rows["split"]:
            page.get_by_role("slider", name="Position").click(position={"x": size["width"] * 0.3, "y": 60})
            page.wait_for_function("() => document.querySelector('audio').currentTime > 1")
        page.screenshot(path=IMAGES / f"{name}.png")
        context.close()


if __name__ == "__main__":
    main()
