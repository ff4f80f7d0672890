"""Recordings in Azure Blob Storage: `STORAGE_URL=az://container/prefix`.

Only the hook is here; the backend is in `storage.py`.
"""

from __future__ import annotations

import pluggy

hookimpl = pluggy.HookimplMarker("tapekeeper")


@hookimpl
def register_storage_backends() -> dict[str, str]:
    """`az`, and `azure` and `abfs` as other tools spell it."""
    return dict.fromkeys(("az", "azure", "abfs"), f"{__name__}.storage:AzureBlobStorage")
