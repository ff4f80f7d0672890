"""`/healthz` and `/readyz`, as a monitor asks them."""

from __future__ import annotations

import shutil

import pytest

from console.health import Readiness


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_all_is_well(deploy, path):
    reply = deploy().client.get(path)
    assert reply.status_code == 200
    assert reply.get_json()["status"] == "ok"


def test_a_database_that_cannot_be_used_is_named(deploy, tmp_path):
    (tmp_path / "folder.db").mkdir()
    client = deploy(DATABASE_URL=f"sqlite:///{tmp_path}/folder.db").client
    reply = client.get("/readyz")
    assert reply.status_code == 503
    assert reply.get_json()["status"] == "unusable"
    assert list(reply.get_json()["problems"]) == ["database"]
    assert client.get("/healthz").status_code == 200  # the process itself is alive


def test_a_storage_that_cannot_be_used_is_named_with_the_mend(deploy, tmp_path):
    (tmp_path / "recordings").write_text("a file where a folder belongs")
    reply = deploy().client.get("/readyz")
    assert reply.status_code == 503
    (problem,) = reply.get_json()["problems"].items()
    assert problem[0] == f"file://{tmp_path}/recordings"
    assert "move it away" in problem[1]


def test_of_several_storages_each_speaks_for_itself(deploy, tmp_path):
    (tmp_path / "b").write_text("")
    reply = deploy(STORAGE_URL=f"file://{tmp_path}/a file://{tmp_path}/b").client.get("/readyz")
    assert list(reply.get_json()["problems"]) == [f"file://{tmp_path}/b"]


def test_stores_are_asked_at_most_once_in_half_a_minute(deploy, tmp_path):
    now = [0.0]
    readiness = Readiness(deploy().wiring, ticks=lambda: now[0])
    assert readiness.problems() == {}
    shutil.rmtree(tmp_path / "recordings", ignore_errors=True)
    (tmp_path / "recordings").write_text("")
    now[0] = 29
    assert readiness.problems() == {}
    now[0] = 31
    assert list(readiness.problems()) == [f"file://{tmp_path}/recordings"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_no_secret_is_told(deploy, path, key_pem):
    deployment = deploy()
    text = deployment.client.get(path).get_data(as_text=True)
    assert deployment.wiring.settings.vonage_signature_secret[0] not in text
    assert key_pem.splitlines()[1] not in text
