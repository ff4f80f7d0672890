"""Every link between the pages leads somewhere, and every page is found from the first one."""

from __future__ import annotations

import pytest

from .pages import LINKED, PAGES, ROOT, anchors, links, name_of


@pytest.mark.parametrize("page", LINKED, ids=name_of)
def test_links_lead_to_files_and_headings_that_are_there(page):
    for target in links(page):
        path, _, anchor = target.partition("#")
        place = page.parent / path if path else page
        assert place.exists(), target
        assert not anchor or anchor in anchors(place), target


def test_every_page_is_reached_from_the_readme():
    reached, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page not in reached:
            reached.add(page)
            targets = [(page.parent / link.partition("#")[0]).resolve() for link in links(page)]
            ahead += [target for target in targets if target.suffix == ".md" and target.is_file()]
    assert [name_of(page) for page in PAGES if page not in reached] == []


def test_every_page_stands_in_the_index():
    index = ROOT / "docs/README.md"
    targets = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
    assert [name_of(page) for page in PAGES[1:] if page not in targets | {index}] == []


def test_every_picture_is_shown_somewhere():
    shown = {(page.parent / target).resolve() for page in PAGES for target in links(page)}
    assert sorted(path.name for path in (ROOT / "docs/images").iterdir() if path not in shown) == []
