"""The overview's plot of recordings a day, the flow of the day, and where each need leads."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from console.pages.plot import plot
from recordings.access import Role
from recordings.catalogue.tables import copies, recordings
from recordings.model import State
from tests.console.site import links_of, text_of

TODAY = datetime(2026, 11, 27, tzinfo=UTC).date()


def test_the_plot_has_a_bar_for_each_outcome_of_each_day_and_its_figures_as_a_table(site):
    site.call()
    site.call(stored=False)
    reply = site.browser(Role.VIEWER).get("/")
    page = reply.get_data(as_text=True)
    assert re.search(r'<svg [^>]*role="img" aria-labelledby="plot-title"', page)
    assert len(re.findall(r'<rect class="bar-', page)) == 2
    assert " style=" not in page
    today = datetime.now(UTC).date().isoformat()
    assert f"{today} 1 1 0 0" in text_of(reply)
    assert page.count('<th scope="row">') == 30


def test_bars_stand_upon_one_another_and_end_at_the_top(site):
    states = {State.STORED: 7, State.PENDING: 1, State.WAITING: 1, State.FAILED: 3, State.EMPTY: 5}
    drawn = plot({TODAY: states}, TODAY, 30)
    assert [bar.kind for bar in drawn.bars] == ["stored", "coming", "trouble"]
    below, middle, above = drawn.bars
    assert below.y == pytest.approx(middle.y + middle.height, abs=0.2)
    assert middle.y == pytest.approx(above.y + above.height, abs=0.2)
    assert above.y == pytest.approx(drawn.numbers[-1].y, abs=0.2)
    assert drawn.rows[-1] == (TODAY, [7, 2, 3], 5)


@pytest.mark.parametrize(
    ("most", "top"), [(0, 2), (1, 2), (13, 14), (99, 100), (100, 100), (1234, 1400), (98765, 100_000)]
)
def test_the_axis_ends_at_a_round_number(most, top):
    drawn = plot({TODAY: {State.STORED: most}}, TODAY, 30)
    assert [mark.text for mark in drawn.numbers] == ["0", f"{top // 2:,}", f"{top:,}"]
    assert all(bar.y >= 0 and bar.height >= 0 for bar in drawn.bars)


def test_the_flow_of_the_last_day_is_told_and_older_recordings_are_not_in_it(site):
    site.call()
    site.call(stored=False)
    old = int(site.call().rpartition("/")[2])
    with site.deployment.wiring.database.write() as connection:
        ago = datetime.now(UTC) - timedelta(hours=25)
        connection.execute(update(recordings).where(recordings.c.id == old).values(received_at=ago))
    site.deployment.announce(recording_url="", size=0)
    text = text_of(site.browser(Role.VIEWER).get("/"))
    assert "Recordings announced 3 Of them stored 1 Of them on their way 1 Of them blocked or failed 0" in text
    assert "Of them without audio 1" in text


def test_a_need_leads_to_the_pile_where_it_is_mended(site):
    site.call(stored=False)
    with site.deployment.wiring.database.write() as connection:
        connection.execute(update(copies).values(state="failed", due_at=None))
        connection.execute(update(recordings).values(state="failed"))
    assert links_of(site.browser(Role.VIEWER).get("/"), "See to them") == ["/attention/failed"]
