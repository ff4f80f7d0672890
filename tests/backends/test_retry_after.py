"""Whatever a cloud writes into the header Retry-After: the answer is translated, and nothing of the header raises."""

from __future__ import annotations

import pytest
import requests
from azure.core.exceptions import HttpResponseError
from google.api_core.exceptions import TooManyRequests
from hypothesis import given
from hypothesis import strategies as st

from backends.azure import errors as azure_errors
from backends.azure.storage import AzureBlobStorage
from backends.gcs import errors as gcs_errors
from backends.gcs.storage import GoogleCloudStorage
from plugins.fakes import FakeSource
from recordings.errors import StorageUnavailable
from tests.fakes.faulty_proxy import FaultyProxy
from tests.fakes.strict_gcs import StrictGcs

VALUES = st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d+ \d+:\d+:\d+ ([A-Z]+|[+-]\d+)")
ODD = ["Wed, 01 Jan 2200 00:00:00 -0000", "\u00b2", "-1", "soon", ""]


def too_many_requests(retry_after: str) -> requests.Response:
    """What both SDKs keep of an answer: a status, a reason and headers."""
    response = requests.Response()
    response.status_code = 429
    response.headers["Retry-After"] = retry_after
    response._content = b""
    return response


def is_sane(seconds: float | None) -> bool:
    return seconds is None or 0 <= seconds < float("inf")


@given(VALUES)
def test_no_retry_after_of_google_raises(value: str) -> None:
    error = TooManyRequests("busy", response=too_many_requests(value))
    assert gcs_errors.is_worth_a_retry(error) in (True, False)
    with pytest.raises(StorageUnavailable) as caught, gcs_errors.translated("storing"):
        raise error
    assert is_sane(caught.value.retry_after)


@given(VALUES)
def test_no_retry_after_of_azure_raises(value: str) -> None:
    response = too_many_requests(value)
    with pytest.raises(StorageUnavailable) as caught, azure_errors.translated("storing"):
        raise HttpResponseError("busy", response=response)
    assert is_sane(caught.value.retry_after)


@pytest.mark.parametrize("value", ODD)
def test_an_odd_retry_after_of_google_is_survived_on_the_wire(
    google: StrictGcs, gcs: GoogleCloudStorage, value: str
) -> None:
    google.faults.plan(429, times=10_000, method="POST", headers={"Retry-After": value})
    with pytest.raises(StorageUnavailable):
        gcs.put("a.mp3", FakeSource(10), content_type="audio/mpeg", metadata={})


@pytest.mark.parametrize("value", ODD)
def test_an_odd_retry_after_of_azure_is_survived_on_the_wire(
    way: FaultyProxy, shaky: AzureBlobStorage, value: str
) -> None:
    way.faults.plan(503, reason="ServerBusy", times=10_000, method="PUT", headers={"Retry-After": value})
    with pytest.raises(StorageUnavailable):
        shaky.put("a.mp3", FakeSource(10), content_type="audio/mpeg", metadata={})
