"""How much of a disk is kept free."""

from __future__ import annotations

import os

import pytest

from recordings import disk
from recordings.disk import MIB


@pytest.mark.parametrize(
    ("total", "kept"),
    [
        (0, 0),
        (24, 6),
        (32, 8),
        (100, 8),
        (1000, 50),
        (4000, 200),
        (20_000, 200),
        (20_001, 200.01),
        (100_000, 1000),
    ],
)
def test_the_reserve_fits_the_disk(total, kept):
    assert disk.reserve(total * MIB) == int(kept * MIB)


def test_free_bytes_are_known_before_a_folder_is_made(tmp_path):
    status = os.statvfs(tmp_path)
    free = disk.free_bytes(tmp_path / "not" / "yet")
    assert abs(free - status.f_bavail * status.f_frsize) < 1024 * MIB  # others write meanwhile
    assert disk.space(tmp_path).total == status.f_blocks * status.f_frsize
