"""Google credentials: every form in which an environment holds them, and none of it in a message."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import identity_pool
from google.oauth2 import service_account

from backends.gcs.credentials import find_credentials
from backends.gcs.storage import GoogleCloudStorage, open_clients
from plugins.fakes import FakeSource
from recordings.errors import StorageConfigurationError, StoragePermissionError, StorageUnavailable
from tests.fakes.strict_gcs import StrictGcs

INLINE = "GOOGLE_APPLICATION_CREDENTIALS_JSON"
EMAIL = "keeper@calls.iam.gserviceaccount.com"


@pytest.fixture(scope="module")
def pem() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


@pytest.fixture
def info(pem: str) -> dict[str, Any]:
    return {
        "type": "service_account",
        "project_id": "calls",
        "private_key_id": "1",
        "private_key": pem,
        "client_email": EMAIL,
        "token_uri": "https://oauth2.googleapis.com/token",
    }


FORMS = {
    "json": json.dumps,
    "indented": lambda info: json.dumps(info, indent=2) + "\n",
    "base64": lambda info: base64.b64encode(json.dumps(info).encode()).decode(),
    "base64 in lines": lambda info: base64.encodebytes(json.dumps(info).encode()).decode(),
    "doubled backslashes": lambda info: json.dumps(info).replace("\\n", "\\\\n"),
    "real line breaks": lambda info: json.dumps(info).replace("\\n", "\n"),
}


@pytest.mark.parametrize("name", [INLINE, "GOOGLE_CREDENTIALS"])
@pytest.mark.parametrize("form", FORMS)
def test_a_service_account_is_read_in_every_form(info: dict[str, Any], form: str, name: str) -> None:
    credentials = find_credentials({name: FORMS[form](info)})
    assert isinstance(credentials, service_account.Credentials)
    assert credentials.service_account_email == EMAIL


def test_workload_identity_is_read() -> None:
    described = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": "https://sts.googleapis.com/v1/token",
        "credential_source": {"file": "/var/run/token"},
    }
    credentials = find_credentials({INLINE: json.dumps(described)})
    assert isinstance(credentials, identity_pool.Credentials)


def test_without_any_google_looks_for_itself() -> None:
    assert find_credentials({}) is None
    assert find_credentials({"GOOGLE_APPLICATION_CREDENTIALS": "/run/secrets/key.json"}) is None


SECRET = "SECRETSECRETSECRET"
WRONG = [
    ("nonsense " + SECRET, "neither the JSON"),
    ('{"type": "service_account", ' + SECRET, "neither the JSON"),
    (base64.b64encode(SECRET.encode()).decode(), "neither the JSON"),
    (json.dumps([SECRET]), "neither the JSON"),
    (json.dumps({"type": "service_account", "private_key": SECRET}), "field is missing or the private key"),
    (json.dumps({"type": "service_account", "private_key": None}), "field is missing or the private key"),
    (json.dumps({"type": "authorized_user", "refresh_token": SECRET}), "of type 'authorized_user'"),
    (json.dumps({"private_key": SECRET}), "of type 'None'"),
]


@pytest.mark.parametrize(("value", "mend"), WRONG)
def test_a_wrong_value_names_its_variable_and_keeps_the_secret(value: str, mend: str) -> None:
    with pytest.raises(StorageConfigurationError, match=mend) as caught:
        GoogleCloudStorage.from_url("gs://calls", {INLINE: value})
    assert INLINE in str(caught.value)
    assert SECRET not in str(caught.value) + repr(caught.value.__cause__)


def test_a_damaged_key_names_its_variable_and_keeps_the_secret(info: dict[str, Any]) -> None:
    damaged = {**info, "private_key": info["private_key"][:400] + SECRET}
    with pytest.raises(StorageConfigurationError, match="private key is damaged") as caught:
        find_credentials({INLINE: json.dumps(damaged)})
    assert SECRET not in str(caught.value)


def test_a_key_pasted_where_a_path_belongs_is_recognised(info: dict[str, Any]) -> None:
    with pytest.raises(StorageConfigurationError, match=f"path of a file.*{INLINE}") as caught:
        GoogleCloudStorage.from_url("gs://calls", {"GOOGLE_APPLICATION_CREDENTIALS": " " + json.dumps(info)})
    assert "PRIVATE" not in str(caught.value)


def test_no_credentials_anywhere_says_what_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    # Google's own search reads the process's environment: no file, no metadata server, no account of gcloud.
    for name, value in {"NO_GCE_CHECK": "true", "CLOUDSDK_CONFIG": str(tmp_path), "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    store = GoogleCloudStorage.from_url("gs://calls", {})
    with pytest.raises(StorageConfigurationError, match=f"Set {INLINE}"):
        store.check()
    store.close()


def test_a_url_is_signed_without_a_request(info: dict[str, Any]) -> None:
    store = GoogleCloudStorage.from_url("gs://calls/tapes", {INLINE: json.dumps(info)})
    parts = urlsplit(store.signed_url("a/b.mp3", 900) or "")
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    assert (parts.scheme, parts.netloc, parts.path) == ("https", "storage.googleapis.com", "/calls/tapes/a/b.mp3")
    assert query["X-Goog-Algorithm"] == "GOOG4-RSA-SHA256"
    assert query["X-Goog-Expires"] == "900"
    assert query["X-Goog-Credential"].startswith(EMAIL)
    assert parse_qs(urlsplit(store.signed_url("a", 10**9) or "").query)["X-Goog-Expires"] == ["604800"]
    store.close()


def guarded(google: StrictGcs, info: dict[str, Any]) -> GoogleCloudStorage:
    google.guarded = True
    credentials = find_credentials({INLINE: json.dumps({**info, "token_uri": f"{google.url}/token"})})
    return GoogleCloudStorage(lambda: open_clients(credentials, google.url), "calls", first_delay=0.01, retry_for=0.5)


def test_a_service_account_fetches_its_token_and_stores(google: StrictGcs, info: dict[str, Any]) -> None:
    store = guarded(google, info)
    assert store.put("a.mp3", FakeSource(1000), content_type="audio/mpeg", metadata={}).created
    assert b"".join(store.get("a.mp3"))
    store.close()


def test_a_token_that_expired_early_is_renewed(google: StrictGcs, info: dict[str, Any]) -> None:
    store = guarded(google, info)
    google.faults.plan(401, method="PUT", path="upload_id")
    assert store.put("a.mp3", FakeSource(1000), content_type="audio/mpeg", metadata={}).created
    assert sum("/token" in line for line in google.faults.log) == 2
    store.close()


def test_credentials_that_google_refuses_are_a_question_of_rights(google: StrictGcs, info: dict[str, Any]) -> None:
    store = guarded(google, info)
    google.faults.plan(401, path="/o", times=10_000)
    with pytest.raises(StoragePermissionError, match=INLINE):
        store.head("a.mp3")
    store.close()


def test_a_revoked_key_is_a_question_of_rights(google: StrictGcs, info: dict[str, Any]) -> None:
    store = guarded(google, info)
    google.faults.plan(400, path="/token", times=10_000)
    with pytest.raises(StoragePermissionError, match=f"make a new key and set {INLINE}"):
        store.check()
    store.close()


def test_a_token_service_that_is_down_is_waited_for(google: StrictGcs, info: dict[str, Any]) -> None:
    store = guarded(google, info)
    google.faults.plan("reset", path="/token", times=10_000)
    with pytest.raises(StorageUnavailable):
        store.head("a.mp3")
    store.close()
