"""The contract over the folder backend, in each of the ways in which it can name a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from backends.local.drafts import Drafts, Way
from backends.local.storage import LocalStorage
from plugins.contract import Check, Target


class LinkOnly(LocalStorage):
    """As on NFS: no O_TMPFILE."""

    @classmethod
    def from_url(cls, url: str, env: Mapping[str, str]) -> LinkOnly:
        return cls(Path(urlsplit(url).path), drafts=Drafts(way=Way.LINK))


class RenameOnly(LocalStorage):
    """As on SMB or FAT: neither O_TMPFILE nor links nor attributes."""

    @classmethod
    def from_url(cls, url: str, env: Mapping[str, str]) -> RenameOnly:
        return cls(Path(urlsplit(url).path), drafts=Drafts(way=Way.RENAME), xattrs=False)


@pytest.fixture(scope="module", params=[LocalStorage, LinkOnly, RenameOnly])
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Target:
    url = (tmp_path_factory.mktemp("contract") / "storage").as_uri()
    return Target(request.param.from_url(url, {}), spawn_url=url)


def test_local_keeps_its_promise(check: Check, target: Target) -> None:
    verdict = target.try_out(check)
    assert verdict.passed, verdict.detail
    assert verdict.tried, verdict.detail
