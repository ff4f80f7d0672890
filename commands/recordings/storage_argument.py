"""A storage that a person names by its URL: it must be one of STORAGE_URL."""

from __future__ import annotations

from collections.abc import Sequence

import click


def configured(storages: Sequence[str], url: str) -> str:
    """The storage of this URL, spelt as STORAGE_URL has it. Raises click's one-line error."""
    for storage in storages:
        if url.rstrip("/") == storage.rstrip("/"):
            return storage
    raise click.ClickException(
        f"{url} is not in STORAGE_URL ({' '.join(storages)}). Add it there first and restart the app, so that new "
        "recordings go there too; then repeat this."
    )
