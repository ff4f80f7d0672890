"""Recordings in a folder: `STORAGE_URL=file:///srv/recordings`.

Only the hook is here; the backend is in `storage.py`.
"""

from __future__ import annotations

import pluggy

hookimpl = pluggy.HookimplMarker("tapekeeper")


@hookimpl
def register_storage_backends() -> dict[str, str]:
    return {"file": f"{__name__}.storage:LocalStorage"}
