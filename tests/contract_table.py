"""The contract's results as a table, one row a promise and one column a store; `tests/conftest.py` prints it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tabulate import tabulate

_STORES = {"local": "file", "gcs": "gs", "azure": "az", "the_s3_example": "s3"}
_KINDS = {"LocalStorage": "", "LinkOnly": "by links", "RenameOnly": "by renames", "emulator": "(emulator)"}
_NAME = re.compile(r"tests/contract/.*::test_(\w+)_keeps_its_promise\[(?:(\w+)-)?(\w+)\]")
_MARKS = {"passed": "kept", "failed": "BROKEN", "skipped": "not tried", "error": "BROKEN"}


def contract_table(results: Iterable[tuple[str, str]]) -> str:
    """From pairs of a test's id and its outcome; empty when no contract was run."""
    cells: dict[str, dict[str, str]] = {}
    for test, outcome in results:
        if match := _NAME.match(test):
            store, kind, promise = match.groups()
            column = " ".join(filter(None, (_STORES.get(store, store), _KINDS.get(kind, kind))))
            cells.setdefault(promise, {})[column] = _MARKS.get(outcome, outcome)
    columns = sorted({column for row in cells.values() for column in row})
    rows = [
        [promise.replace("_", " "), *(row.get(column, "-") for column in columns)] for promise, row in cells.items()
    ]
    return tabulate(rows, headers=["promise", *columns]) if rows else ""
