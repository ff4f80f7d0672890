"""The pretend Vonage's media API: the shelf in the shape of the specification, for a good token only."""

from __future__ import annotations

import requests


def test_it_lists_the_shelf_in_pages_newest_first(vonage, client):
    files = [vonage.add_file(size=100, file_id=f"{n}") for n in range(3)]
    first = client.get(f"{vonage.origin}/v3/media?page_size=2").json()
    assert [item["id"] for item in first["_embedded"]["media"]] == ["2", "1"]
    assert (first["count"], first["page_index"]) == (3, 0)
    rest = client.get(f"{vonage.origin}/v3/media?page_size=2&page_index=1").json()
    assert [item["id"] for item in rest["_embedded"]["media"]] == ["0"]
    assert client.get(f"{vonage.origin}/v3/media?order=ascending").json()["_embedded"]["media"][0]["id"] == "0"
    assert client.get(f"{vonage.origin}/v3/media?start_time=2999-01-01T00:00:00Z").json()["count"] == 0
    info = client.get(f"{vonage.origin}/v3/media/1/info").json()
    assert (info["media_size"], info["mime_type"], info["etag"]) == (100, "audio/mpeg", files[1].sha256[:32])
    assert client.get(f"{vonage.origin}/v3/media/9/info").status_code == 404


def test_nobody_gets_it_without_a_token(vonage):
    vonage.add_file(size=1, file_id="1")
    for path in ("/v3/media", "/v3/media/1/info"):
        assert requests.get(vonage.origin + path, timeout=10).status_code == 401
