"""The contract over Azure Blob Storage, on Microsoft's own emulator."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from azure.storage.blob import BlobServiceClient

from backends.azure.storage import AzureBlobStorage
from plugins.contract import Check, Target
from tests.services.emulators import azurite, connection_string


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    with azurite() as address:
        access = connection_string(address)
        with BlobServiceClient.from_connection_string(access) as service:
            service.create_container("contract").close()
        url, env = "az://contract/some/prefix", {"AZURE_STORAGE_CONNECTION_STRING": access}
        backend = AzureBlobStorage.from_url(url, env)
        yield Target(backend, spawn_url=url, spawn_env=env)
        backend.close()


def test_azure_keeps_its_promise(check: Check, target: Target) -> None:
    verdict = target.try_out(check)
    assert verdict.passed, verdict.detail
    assert verdict.tried, verdict.detail
