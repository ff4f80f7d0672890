"""Stores to talk to: the strict fake Google in this process, one Azurite for the session, and a faulty way to it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest
from azure.storage.blob import BlobServiceClient

from backends.azure.storage import AzureBlobStorage
from backends.gcs.storage import GoogleCloudStorage
from tests.fakes.faulty_proxy import FaultyProxy
from tests.fakes.strict_gcs import StrictGcs
from tests.services.emulators import azurite, connection_string


@pytest.fixture
def google() -> Iterator[StrictGcs]:
    with StrictGcs("calls", page=3) as server:
        yield server


@pytest.fixture
def gcs(google: StrictGcs) -> Iterator[GoogleCloudStorage]:
    """The backend on the strict fake, impatient: it gives up after about a second."""
    env = {"STORAGE_EMULATOR_HOST": google.url}
    backend = GoogleCloudStorage.from_url("gs://calls/tapes", env, first_delay=0.01, retry_for=1.0)
    yield backend
    backend.close()


@pytest.fixture(scope="session")
def azurite_address() -> Iterator[str]:
    with azurite() as address:
        yield address


@pytest.fixture
def container(azurite_address: str) -> Iterator[str]:
    """A container of this test's own."""
    name = f"c{uuid.uuid4().hex}"
    with BlobServiceClient.from_connection_string(connection_string(azurite_address)) as service:
        service.create_container(name).close()
        yield name


@pytest.fixture
def make_azure() -> Iterator[Callable[..., AzureBlobStorage]]:
    """Backends by container and environment, impatient, and closed after the test."""
    made: list[AzureBlobStorage] = []

    def make(container: str, env: dict[str, str]) -> AzureBlobStorage:
        made.append(AzureBlobStorage.from_url(f"az://{container}/tapes", env, first_delay=0.01))
        return made[-1]

    yield make
    for backend in made:
        backend.close()


@pytest.fixture
def azure(make_azure: Callable[..., AzureBlobStorage], container: str, azurite_address: str) -> AzureBlobStorage:
    return make_azure(container, {"AZURE_STORAGE_CONNECTION_STRING": connection_string(azurite_address)})


@pytest.fixture
def way(azurite_address: str) -> Iterator[FaultyProxy]:
    with FaultyProxy(azurite_address) as proxy:
        yield proxy


@pytest.fixture
def shaky(make_azure: Callable[..., AzureBlobStorage], container: str, way: FaultyProxy) -> AzureBlobStorage:
    """The backend on Azurite, by the faulty way."""
    return make_azure(container, {"AZURE_STORAGE_CONNECTION_STRING": connection_string(way.url)})
