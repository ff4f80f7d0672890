"""Recordings in Google Cloud Storage: `STORAGE_URL=gs://bucket/prefix`.

Only the hook is here; the backend is in `storage.py`.
"""

from __future__ import annotations

import pluggy

hookimpl = pluggy.HookimplMarker("tapekeeper")


@hookimpl
def register_storage_backends() -> dict[str, str]:
    """`gs`, and `gcs` as other tools spell it."""
    return dict.fromkeys(("gs", "gcs"), f"{__name__}.storage:GoogleCloudStorage")
