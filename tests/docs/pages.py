"""The pages that people read, taken apart: their code blocks (by sybil), their links, headings and code spans.

What must hold for them is in the tests beside this file.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from sybil import Document, Region
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

from tests.test_house import ROOT, tracked

PAGES = [ROOT / "README.md", *tracked(":(glob)docs/*.md")]
LINKED = tracked("*.md")  # every Markdown file of the checkout

_FENCE = RawFencedCodeBlockLexer(re.compile(r"(?P<language>[^\n]*)\n"))
_CODE = re.compile(r"^( *)(```|~~~).*?^\1\2 *$", re.MULTILINE | re.DOTALL)


def name_of(page: Path) -> str:
    """The page as a test's id shows it."""
    return str(page.relative_to(ROOT))


def fenced_blocks(document: Document) -> Iterator[Region]:
    """A parser for sybil: every code block, with its language and its source."""
    for region in _FENCE(document):
        region.parsed = (region.lexemes["language"].strip(), str(region.lexemes["source"]))
        yield region


def blocks(page: Path) -> list[tuple[str, str]]:
    """(language, source) of each code block."""
    return [block.parsed for block in fenced_blocks(Document(page.read_text(), str(page)))]


def section(text: str, heading: str) -> str:
    """What stands below this heading of the second level, up to the next one."""
    return text.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def sources(text: str, *languages: str) -> list[str]:
    """The code blocks in these languages of a page's text, or of a section of it."""
    parsed = [block.parsed for block in fenced_blocks(Document(text, ""))]
    return [source for language, source in parsed if language in languages]


def prose_of(page: Path) -> str:
    """The page without its code blocks."""
    return _CODE.sub("", page.read_text())


def spans(page: Path) -> list[str]:
    """What stands between backquotes in a line of the prose."""
    return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", prose_of(page))


def links(page: Path) -> list[str]:
    """The targets of links and pictures that lead to no other site."""
    text = re.sub(r"`[^`\n]*`", "", prose_of(page))
    targets = re.findall(r"\]\(([^)\s]+)[^)]*\)|<(?:img|a)\b[^>]*\b(?:src|href)=\"([^\"]+)\"", text)
    return [target for pair in targets for target in pair if target and not re.match(r"\w+:", target)]


def anchors(page: Path) -> set[str]:
    """What a link may name behind `#`: as GitHub makes it of headings, the second of the same text with `-1`."""
    seen: Counter[str] = Counter()
    made = set()
    for heading in re.findall(r"(?m)^#+ +(.*?) *#*$", prose_of(page)):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        made.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return made
