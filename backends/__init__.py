"""Where bytes rest: one package for each kind of storage, each of them a plugin like any stranger's.

A package here is found by itself: `BUILTINS` lists whatever packages lie beside this file, so a new backend is a new
folder and no edit elsewhere. Its `__init__.py` implements the hook `register_storage_backends` and nothing more, so
that a storage which is not configured costs no import. The same file names mean the same in each package: `storage.py`
is the backend, `upload.py` one upload, `credentials.py` finds the credentials, `errors.py` translates errors.

A backend is given a key and a source. It makes no decision about a recording's life.
"""

from __future__ import annotations

import pkgutil

BUILTINS = tuple(f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__) if module.ispkg)
