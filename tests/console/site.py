"""A console as people see it: a deployment with recorded calls, and a browser for each role."""

from __future__ import annotations

import html
import re

import pytest

from recordings.access import Actor, Role
from recordings.model import Call

from .browser import PASSWORD, Browser

ADMIN = Actor("root", Role.ADMIN, None, "command")
CALLED = "447700900000"


class Site:
    """`deployment`, its recorded calls, and browsers that have signed in."""

    def __init__(self, deployment, vonage):
        self.deployment = deployment
        self.vonage = vonage

    def browser(self, role=Role.OPERATOR):
        """The browser of somebody with this role, signed in. The name is that of the role."""
        accounts = self.deployment.wiring.people.accounts
        if accounts.find(role.word) is None:
            accounts.add(role.word, role, PASSWORD, by=ADMIN)
        browser = Browser(self.deployment)
        assert browser.sign_in(role.word).status_code == 303
        return browser

    def call(self, number="447700900001", *, stored=True, channels=1, **changes):
        """A call from this number was recorded; the address of its page."""
        file = self.vonage.add_file(channels=channels)
        event, copy_ids = self.deployment.announce(**{"recording_url": file.url, "size": file.size} | changes)
        words = {"flow": "call", "format": "mp3", "channels": 1}
        self.deployment.wiring.intake.note_call(
            Call(event.conversation_uuid, "leg", number, CALLED, **words), "the-application"
        )
        for copy_id in copy_ids if stored else ():
            self.deployment.look_at(copy_id)
        return f"/recordings/{self.row(event)}"

    def row(self, event):
        from recordings.catalogue.listing import last_row

        return last_row(self.deployment.wiring.database, event.recording_uuid)

    def noted(self, action):
        """(person, recording) of each entry of the audit with this action, oldest first."""
        entries = self.deployment.wiring.people.audit.entries(action=action)
        return [(entry.person, entry.recording_id) for entry in entries][::-1]


@pytest.fixture
def site(deploy, vonage):
    return Site(deploy(RECORDING_HOSTS=vonage.origin), vonage)


def text_of(reply):
    """The words of a page, as a person reads them; ranges with a hyphen, which is easier to type than a dash."""
    words = html.unescape(re.sub(r"<[^>]+>", " ", reply.get_data(as_text=True))).split()
    return " ".join(words).replace("\N{EN DASH}", "-")


def links_of(reply, words):
    """The addresses of the links whose text holds these words."""
    anchors = re.findall(r'<a [^>]*?href="([^"]+)"[^>]*>(.*?)</a>', reply.get_data(as_text=True), re.DOTALL)
    texts = [(address, " ".join(re.sub(r"<[^>]+>", "", inner).split())) for address, inner in anchors]
    return [html.unescape(address) for address, text in texts if words in html.unescape(text)]


def search_for(browser, **fields):
    """The reply to the form of the list: a redirection to the page with what was found."""
    return browser.post("/recordings", browser.token("/recordings"), **fields)


def found_by(browser, **fields):
    """The page with what the form finds."""
    reply = search_for(browser, **fields)
    assert reply.status_code == 303, reply.get_data(as_text=True)
    return browser.get(reply.headers["Location"])
