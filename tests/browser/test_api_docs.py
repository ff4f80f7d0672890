"""The page of the API: it opens under the pages' own policy, shows all operations, and tries one as its reader."""

from __future__ import annotations

from recordings.access import Role


def test_whoever_has_signed_in_reads_the_operations_and_tries_one(served, visit):
    page = visit("/", Role.VIEWER)
    page.get_by_role("link", name="The API", exact=True).click()
    page.wait_for_url("**/api/docs")
    page.locator(".opblock").first.wait_for()
    document = page.evaluate("fetch('/api/openapi.json').then((reply) => reply.json())")
    methods = ("get", "post", "patch", "delete")
    operations = [name for path in document["paths"].values() for name in path if name in methods]
    assert page.locator(".opblock").count() == len(operations)
    operation = page.locator(".opblock", has_text="/api/figures")
    operation.locator(".opblock-summary").click()
    operation.get_by_role("button", name="Try it out").click()
    with page.expect_response("**/api/figures") as coming:
        operation.get_by_role("button", name="Execute").click()
    assert coming.value.status == 200


def test_a_change_that_is_tried_on_the_page_is_no_forged_one(served, visit):
    page = visit("/api/docs", Role.OPERATOR)
    operation = page.locator(".opblock", has_text="/api/recordings/search")
    operation.locator(".opblock-summary").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.locator("textarea").fill('{"limit": 1}')
    with page.expect_response("**/api/recordings/search") as coming:
        operation.get_by_role("button", name="Execute").click()
    assert coming.value.status == 200


def test_strangers_are_sent_to_sign_in(visit):
    page = visit("/api/docs", None)
    page.wait_for_url("**/login")
