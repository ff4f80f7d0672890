"""A line of CSV that no spreadsheet takes for more than text: every export as a table is made of these.

What callers, stores and people choose stands in the cells. How a table is made of lines is decided by who exports.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from typing import Any

_NUMBER = re.compile(r"[+-]?[0-9]+")
# Where a country's list separator is the semicolon, a spreadsheet begins a new cell after each, and a new row after the
# end of a line, also within the quotes that CSV puts around a cell. Some take the wide signs of Chinese, too.
_FORMULA = re.compile(r"((?:^|[;\t\r\n])[ \x22]*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])|^(?=[\t\r\n])")


def csv_line(cells: Iterable[Any]) -> str:
    """The cells with commas between them. What would be a formula gets an apostrophe before it.

    https://owasp.org/www-community/attacks/CSV_Injection
    """
    line = io.StringIO(newline="")
    csv.writer(line).writerow([_harmless(cell) if isinstance(cell, str) else cell for cell in cells])
    return line.getvalue()


def _harmless(text: str) -> str:
    return text if _NUMBER.fullmatch(text) else _FORMULA.sub(r"\1'", text)
