"""The OpenAPI document, its page, and `docs/api.md`, which is made from it."""

from __future__ import annotations

import hashlib
import re

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from console.api import reference
from recordings.access import Role
from tests.console.browser import PASSWORD
from tests.test_house import ROOT

from .conftest import refusal

SWAGGER = ROOT / "console/static/swagger-ui"


def test_the_document_is_valid_openapi_3_1(admin):
    document = admin.get("/openapi.json").get_json()
    assert document["openapi"] == "3.1.0"
    OpenAPIV31SpecValidator(document).validate()


def test_every_operation_says_who_may_and_what_and_every_parameter_what_it_means(admin):
    document = admin.get("/openapi.json").get_json()
    paths = document["paths"].values()
    operations = [operation for path in paths for name, operation in path.items() if name != "parameters"]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for operation in operations:
        assert operation["summary"]
        assert operation["x-role"] in {role.word for role in Role}
        assert "default" in operation["responses"]
        parameters = [parameter for parameter in operation.get("parameters", ()) if "$ref" not in parameter]
        assert all(parameter["description"] for parameter in parameters)
    for name, schema in document["components"]["schemas"].items():
        for field, description in schema.get("properties", {}).items():
            assert {"description", "$ref", "items", "anyOf", "allOf"} & set(description), f"{name}.{field}"


def test_it_is_for_those_who_are_signed_in(api, admin):
    refusal(api.deployment.client.get("/api/openapi.json"), 401)
    assert api.program(Role.VIEWER).get("/openapi.json").status_code == 200
    tag = admin.get("/openapi.json").headers["ETag"]
    assert admin.get("/openapi.json", headers={"If-None-Match": tag}).status_code == 304


def test_behind_a_path_it_says_where_the_api_is(deploy, api):
    token = api.program().token
    client = deploy(PUBLIC_URL="https://t.example/tapes").client
    document = client.get("/api/openapi.json", headers={"Authorization": f"Bearer {token}"}).get_json()
    assert document["servers"] == [{"url": "/tapes"}]


def test_its_page_is_for_people_who_are_sent_to_sign_in_and_back(api):
    api.browser(Role.VIEWER)
    reply = api.deployment.client.get("/api/docs")
    assert (reply.status_code, reply.headers["Location"]) == (302, "/login")
    browser = api.browser(Role.VIEWER)
    page = browser.get("/api/docs")
    assert (page.status_code, page.mimetype) == (200, "text/html")
    assert not re.search(r"<script>|<style|\sstyle=|\son\w+=|https?:", page.get_data(as_text=True))
    for file in re.findall(r'(?:src|href)="(/static/[^"]+)"', page.get_data(as_text=True)):
        with browser.get(file) as loaded:
            assert loaded.status_code == 200


def test_tokens_alone_open_no_page(deploy):
    client = deploy(API_TOKENS="the-token-of-this-year").client
    assert client.get("/api/docs").status_code == 404


def test_the_command_lines_of_flask_stay_ours(deploy):
    assert "openapi" not in deploy(CONSOLE_PASSWORD=PASSWORD).app.cli.commands


def test_the_files_of_others_are_what_their_checksums_say():
    lines = (SWAGGER / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, name in (line.split("  ") for line in lines)}
    assert sums.keys() == {path.name for path in SWAGGER.iterdir()} - {"SHA256SUMS"}
    for name, digest in sums.items():
        assert hashlib.sha256((SWAGGER / name).read_bytes()).hexdigest() == digest, name


def test_docs_api_md_is_what_the_operations_say():
    assert reference.FILE.read_text() == reference.current(), "make api-docs"


@pytest.mark.parametrize("name", ["state", "number", "with_empty"])
def test_it_lists_the_filter(name):
    assert f"| `{name}` |" in reference.FILE.read_text()
