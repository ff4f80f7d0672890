"""What the pages use of the program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from console import parts as shared

# A row's number as both databases can hold it: with any larger one there is nothing at the address.
ROW = "<int(min=1, max=9223372036854775807):row_id>"


class Plugin(Protocol):
    """What is known of one plugin. `state`: active, broken, disabled or unknown."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str | None: ...
    @property
    def origin(self) -> str: ...
    @property
    def hooks(self) -> Sequence[str]: ...
    @property
    def schemes(self) -> Sequence[str]: ...
    @property
    def state(self) -> str: ...
    @property
    def problem(self) -> str | None: ...


class Plugins(Protocol):
    """The plugins that were found."""

    def report(self) -> Sequence[Plugin]: ...


class Parts(shared.Parts, Protocol):
    """What the pages use, each part made at its first use."""

    @property
    def plugins(self) -> Plugins: ...
