"""Where bytes are stored: one package for each kind of storage, each of them a plugin like any other.

`BUILTINS` lists the packages that lie beside this file, so a new backend is one new folder and no edit elsewhere. The
`__init__.py` of a package implements the hook `register_storage_backends` and nothing more, so a storage that is not
configured costs no import. A file name means the same in every package: `storage.py` is the backend, `upload.py` sends
one upload, `credentials.py` finds the credentials, `errors.py` translates the errors of the store.

A backend is given a key and a source of audio. It makes no decision about a recording's life.
"""

from __future__ import annotations

import pkgutil

BUILTINS = tuple(f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__) if module.ispkg)
