"""The licences of what is deployed, by what each distribution says of itself. It writes `docs/licences.md`:

make licences
"""

from __future__ import annotations

import re
from importlib import metadata

from packaging.utils import canonicalize_name

from settings import ROOT

from .pins import pins

PAGE = ROOT / "docs/licences.md"
BEGIN, END = "<!-- licences -->", "<!-- /licences -->"

# What may be deployed with an application under the MIT licence, by SPDX's names. LGPL and MPL ask for their text, the
# source, and the right to exchange the library: all of these are Python packages as they were published.
ALLOWED = {
    *("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "MIT-0", "PSF-2.0", "Zlib"),
    *("LGPL-3.0-only", "MPL-2.0"),
}

# What older metadata say in words of their own.
WORDS = {
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "3-Clause BSD License": "BSD-3-Clause",
    "BSD 3-Clause License": "BSD-3-Clause",
    "BSD 2-Clause License": "BSD-2-Clause",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "BSD": "BSD-3-Clause",
    "BSD License": "BSD-3-Clause",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}


def installed() -> dict[str, metadata.Distribution]:
    """The distributions of `requirements.txt` that are installed here, by name."""
    deployed = pins("requirements.txt")
    everything = {canonicalize_name(package.metadata["Name"]): package for package in metadata.distributions()}
    return {name: everything[name] for name in sorted(deployed) if name in everything}


def licence_of(distribution: metadata.Distribution) -> str:
    """An SPDX expression; the distribution's own words where they are none."""
    said = distribution.metadata
    classifiers = [text for text in said.get_all("Classifier", []) if text.startswith("License :: OSI")]
    classified = [WORDS.get(name, name) for name in (text.rpartition(" :: ")[2] for text in classifiers)]
    text = said.get("License") or ""
    short = WORDS.get(text, text) if "\n" not in text and len(text) < 60 else ""
    return said.get("License-Expression") or short or " AND ".join(classified) or "unknown"


def strange(expression: str) -> set[str]:
    """The licences of an expression that may not be deployed. Where there is a choice, one that may is enough."""
    choices = [set(re.split(r" AND ", choice)) for choice in expression.strip("()").split(" OR ")]
    return min((choice - ALLOWED for choice in choices), key=len)


def table() -> str:
    """The rows of the page."""
    rows = [f"| {package.metadata['Name']} | {licence_of(package)} |" for package in installed().values()]
    return "\n".join([BEGIN, "| package | licence |", "|---|---|", *rows, END])


def main() -> None:
    """Write the table into its page."""
    text = PAGE.read_text()
    PAGE.write_text(text[: text.index(BEGIN)] + table() + text[text.index(END) + len(END) :])


if __name__ == "__main__":
    main()
