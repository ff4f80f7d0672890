"""`make settings-docs`: the table of `docs/settings.md` anew, from the settings themselves.

A test compares the page with what this makes.
"""

from __future__ import annotations

import settings
from settings import ROOT

PAGE = ROOT / "docs/settings.md"
BEGIN, END = "<!-- settings -->\n", "<!-- /settings -->"


def default_of(value: object) -> str:
    """As somebody would write it into the environment."""
    if isinstance(value, bool):
        return str(value).lower()
    text = " ".join(map(str, value)) if isinstance(value, tuple) else str("" if value is None else value)
    text = text.replace(f"sqlite:///{ROOT}/", "sqlite:///").replace(f"file://{ROOT}", "file://…")
    return text.removeprefix(f"{ROOT}/")


def table() -> str:
    """The rows, with their head."""
    rows = ["| variable | meaning | default |", "|---|---|---|"]
    for name, value, secret, about in settings.variables():
        default = f"`{default_of(value)}`" if default_of(value) else ""
        rows.append(f"| `{name}` | {about}{' (secret)' if secret else ''} | {default} |")
    return "\n".join(rows) + "\n"


def page() -> str:
    """The whole page as it should be: what is written by hand stays."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    return f"{before}{BEGIN}{table()}{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page())
