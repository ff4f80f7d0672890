"""An open page is kept up to date, and disturbs nobody: what has failed arrives, and what is new is told."""

from __future__ import annotations

from recordings.access import Action, Actor, Role

from .served import CALLER, sign_in


def look_again(page):
    """Bring the page up to date now, as coming back to its tab does."""
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def wait_looking(page, selector):
    """Until the page shows this; it asks for itself anew at each look."""
    page.wait_for_function(
        """(selector) => {
          if (document.querySelector(selector)) return true;
          document.dispatchEvent(new Event("visibilitychange"));
          return false;
        }""",
        arg=selector,
        polling=500,
    )


def test_somebody_signs_in_finds_a_call_by_its_last_four_digits_and_opens_it(served, visit):
    page = visit("/login", None)
    sign_in(page, "operator")
    page.get_by_role("link", name="Recordings", exact=True).first.click()
    page.locator("summary", has_text="Search").click()
    page.get_by_label("Number", exact=False).first.fill(CALLER[-4:])
    page.get_by_role("button", name="Search").click()
    page.get_by_text(f"Number ends with {CALLER[-4:]}").wait_for()
    assert page.locator("tbody tr").count() == 1
    assert CALLER[-4:] not in page.url
    page.locator("tbody th a").click()
    page.wait_for_url(f"**{served.rows['split']}")


def test_a_failed_recording_is_tried_again_and_arrives_before_the_eyes(served, visit):
    page = visit(served.rows["failed"], Role.OPERATOR)
    assert page.locator("main > p .state-failed").is_visible()
    page.get_by_text("Try again", exact=True).click()
    page.get_by_role("button", name="Try it again now").click()
    page.get_by_text("1 copy is due now").wait_for()
    page.evaluate("window.isStillThisPage = true")
    page.locator("main > p .state-stored").wait_for()
    page.locator("audio").wait_for()
    assert page.get_by_text("1 copy is due now").is_visible(), "a message stays until the person goes on"
    served.wait_measured("failed-once")
    wait_looking(page, ".player[data-seconds]")
    page.locator(".wave canvas").first.wait_for()
    assert page.evaluate("window.isStillThisPage")
    assert served.noted(Action.RETRY, served.rows["failed"]) == ["operator"]


def test_what_is_new_in_the_list_is_told_and_moves_nothing(served, visit):
    page = visit("/recordings", Role.LISTENER)
    rows = page.locator("tbody tr").evaluate_all("(rows) => rows.map((row) => row.id)")
    playing = page.locator(f"#recording-{served.rows['split'].rpartition('/')[2]}")
    playing.get_by_text("Play").click()
    page.wait_for_function("() => [...document.querySelectorAll('audio')].some((audio) => audio.currentTime > 0.2)")
    playing.locator("th a").focus()
    uuid = served.call("voicemail", caller="447700900888")
    wait_looking(page, "#news a")
    assert page.locator("#news").inner_text() == "1 new recording. Show"
    assert page.locator("tbody tr").evaluate_all("(rows) => rows.map((row) => row.id)") == rows
    assert page.evaluate("document.activeElement.closest('tr').id") == playing.get_attribute("id")
    assert playing.locator("audio").evaluate("(audio) => audio.currentTime > 0.2")
    page.get_by_role("link", name="Show").click()
    page.locator(f"#recording-{served.found(uuid).id}").wait_for()
    assert page.locator("#news").inner_text() == ""


def stays_open(page):
    """Mark the page, so that a later load of it shows."""
    page.evaluate("window.isStillThisPage = true")


def test_a_copy_that_fails_arrives_in_the_open_list_of_what_needs_attention(served, visit):
    served.fail("failed-for-attention")
    page = visit("/attention", Role.VIEWER)
    heading = page.locator("#failed")
    number = int(heading.inner_text().split()[0])
    stays_open(page)
    served.fail("failed-for-attention-too")
    page.wait_for_function(
        """(number) => {
          document.dispatchEvent(new Event("visibilitychange"));
          return parseInt(document.querySelector("#failed").textContent) === number;
        }""",
        arg=number + 1,
        polling=500,
    )
    assert page.evaluate("window.isStillThisPage")


def test_a_new_delivery_is_told_and_moves_nothing(served, visit):
    page = visit("/deliveries", Role.OPERATOR)
    rows = page.locator("tbody tr").evaluate_all("(rows) => rows.map((row) => row.id)")
    served.announce("ogg")
    wait_looking(page, "#news a")
    assert page.locator("#news").inner_text() == "1 new delivery. Show"
    assert page.locator("tbody tr").evaluate_all("(rows) => rows.map((row) => row.id)") == rows


def test_what_somebody_does_is_told_to_who_reads_the_audit_and_leaves_a_form_as_it_is(served, visit):
    page = visit("/activity", Role.OPERATOR)
    page.locator("summary", has_text="Search").click()
    page.get_by_label("Person or token").fill("ann")
    served.people.audit.note(Actor("anna", Role.LISTENER, "203.0.113.7", "account"), Action.DOWNLOAD)
    wait_looking(page, "#news a")
    assert page.locator("#news").inner_text() == "1 new entry. Show"
    assert page.get_by_label("Person or token").input_value() == "ann"
    assert page.get_by_label("Person or token").evaluate("(field) => field === document.activeElement")


def test_what_a_look_at_everything_finds_arrives_on_the_open_page(served, visit):
    page = visit("/system", Role.OPERATOR)
    page.get_by_role("button", name="Look at everything now").click()
    page.get_by_text("Everything is being looked at").or_(page.get_by_text("All of it, at")).wait_for()
    stays_open(page)
    wait_looking(page, "#findings ~ h3")
    page.get_by_text("Everything is being looked at").wait_for(state="detached")
    page.get_by_role("button", name="Look at everything now").wait_for()
    assert page.evaluate("window.isStillThisPage")


def test_a_hidden_tab_asks_for_nothing_and_a_shown_one_at_once(served, visit):
    page = visit(served.rows["mono"], Role.VIEWER)
    page.evaluate("Object.defineProperty(document, 'hidden', { value: true, writable: true })")
    asked = []
    page.on("request", lambda request: asked.append(request.headers.get("x-asked-by-itself", "test")))
    look_again(page)
    page.evaluate("fetch(location.href).then((reply) => reply.text())")
    assert "yes" not in asked
    assert "test" in asked
    page.evaluate("document.hidden = false")
    with page.expect_response(lambda reply: "x-asked-by-itself" in reply.request.headers):
        look_again(page)


def test_a_page_says_when_its_reader_is_signed_out(served, visit):
    page = visit("/recordings", Role.VIEWER)
    page.context.clear_cookies()
    look_again(page)
    page.get_by_role("link", name="Sign in").wait_for()
    assert "401" in visit.problems.pop()
