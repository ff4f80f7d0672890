"""People hear a recording in a browser: it plays, seeks, is drawn, and its voices are muted one by one."""

from __future__ import annotations

import pytest

from recordings.access import Action, Role

# Measures what reaches the loudspeaker: the loudest sample of either channel since `loudest` was last emptied.
LOUDSPEAKER = """
  window.loudest = [0, 0];
  const connect = AudioNode.prototype.connect;
  AudioNode.prototype.connect = function (target, ...more) {
    if (target instanceof AudioDestinationNode) {
      const splitter = new ChannelSplitterNode(this.context, { numberOfOutputs: 2 });
      connect.call(this, splitter);
      [0, 1].forEach((channel) => {
        const analyser = new AnalyserNode(this.context, { fftSize: 2048 });
        connect.call(splitter, analyser, channel);
        setInterval(() => {
          const samples = new Float32Array(analyser.fftSize);
          analyser.getFloatTimeDomainData(samples);
          window.loudest[channel] = Math.max(window.loudest[channel], ...samples.map(Math.abs));
        }, 20);
      });
    }
    return connect.call(this, target, ...more);
  };
"""
IS_HEARD = "(channel) => window.loudest[channel] > 0.05"
TIME = "document.querySelector('audio').currentTime"


def from_the_start(page):
    """Play from the start, and forget what was heard before."""
    page.evaluate(
        """async () => {
          const audio = document.querySelector("audio");
          await audio.play();
          audio.pause();
          audio.currentTime = 0;
          await new Promise((seeked) => audio.addEventListener("seeked", seeked, { once: true }));
          await new Promise((passed) => setTimeout(passed, 200));  // what the analysers still hold
          window.loudest.fill(0);
          await audio.play();
        }"""
    )


def boxes(page):
    """The place of the waveform, and of each of its canvases that show the whole recording."""
    wave = page.locator(".wave").bounding_box()
    return wave, [canvas.bounding_box() for canvas in page.locator(".wave .canvases canvas").all()]


@pytest.mark.parametrize("name", ["split", "mono", "ogg", "wav"])
def test_a_recording_plays_and_a_seek_holds(served, visit, name):
    page = visit(served.rows[name], Role.LISTENER)
    wave = page.get_by_role("slider", name="Position")
    wave.focus()
    page.keyboard.press("Space")
    page.wait_for_function(f"() => {TIME} > 0.3")
    page.keyboard.press("Home")
    page.keyboard.press("Space")
    page.wait_for_function("() => document.querySelector('audio').paused")
    box = wave.bounding_box()
    wave.click(position={"x": box["width"] * 0.5, "y": box["height"] / 2})
    page.wait_for_function("() => !document.querySelector('audio').seeking")
    length = page.evaluate("document.querySelector('audio').duration")
    assert page.evaluate(TIME) == pytest.approx(length / 2, abs=length / 20)
    page.keyboard.press("Space")
    page.wait_for_function(f"(half) => {TIME} > half + 0.3", arg=length / 2)
    assert served.noted(Action.PLAY, served.rows[name]).count("listener") == 1


def test_steps_of_ten_seconds_stop_at_either_end_and_the_speed_is_the_chosen_one(served, visit):
    page = visit(served.rows["split"], Role.LISTENER)
    wave, clock = page.get_by_role("slider", name="Position"), page.locator(".clock")
    wave.wait_for()
    page.get_by_role("button", name="+10 s").click()
    assert clock.inner_text() == "0:09 of 0:09", "the recording is shorter than ten seconds"
    assert wave.get_attribute("aria-valuenow") == "9"
    page.get_by_role("button", name="-10 s").click()
    assert (page.evaluate(TIME), clock.inner_text()) == (0, "0:00 of 0:09")
    page.get_by_label("Speed").select_option("1.5")
    assert page.evaluate("document.querySelector('audio').playbackRate") == 1.5


def test_a_place_that_is_chosen_before_any_audio_has_come_is_where_it_begins(served, visit):
    page = visit(served.rows["mono"], Role.LISTENER)
    wave = page.get_by_role("slider", name="Position")
    wave.click(position={"x": wave.bounding_box()["width"] * 0.75, "y": 40})
    assert page.locator(".clock").inner_text() == "0:06 of 0:09"
    wave.press("Space")
    begun = page.wait_for_function(
        """() => {
          const audio = document.querySelector("audio");
          return audio.readyState > 1 && !audio.paused && !audio.seeking && audio.currentTime;
        }"""
    )
    assert begun.json_value() > 5


@pytest.mark.parametrize(("name", "lanes", "height"), [("split", 2, 64), ("mono", 1, 96)])
def test_the_waveform_lies_where_it_belongs(served, visit, name, lanes, height):
    page = visit(served.rows[name], Role.LISTENER)
    page.locator(".wave .canvases canvas").nth(lanes - 1).wait_for()
    wave, canvases = boxes(page)
    assert len(canvases) == lanes
    assert wave["height"] == pytest.approx(lanes * height, abs=2)
    for lane, canvas in enumerate(canvases):
        assert canvas["x"] == pytest.approx(wave["x"], abs=2)
        assert canvas["y"] == pytest.approx(wave["y"] + lane * height, abs=2)
        assert (canvas["width"], canvas["height"]) == pytest.approx((wave["width"], height), abs=2)
    assert page.get_by_role("group", name="Voices").is_visible() == (lanes == 2)


def test_a_muted_voice_is_silent_and_the_other_one_is_heard(served, visit):
    page = visit(served.rows["split"], Role.LISTENER, script=LOUDSPEAKER)
    page.get_by_label("Mute caller").check()
    from_the_start(page)
    page.wait_for_function(IS_HEARD, arg=1)
    assert page.evaluate("window.loudest[0]") == 0, "the caller speaks first, and was muted"
    page.get_by_label("Mute callee").check()
    page.get_by_label("Mute caller").uncheck()
    from_the_start(page)
    page.wait_for_function(IS_HEARD, arg=0)
    page.wait_for_function("() => document.querySelector('audio').ended")
    assert page.evaluate("window.loudest[1]") == 0


def test_in_the_list_one_recording_plays_at_a_time(served, visit):
    page = visit("/recordings", Role.LISTENER)
    first, second = (page.locator(f"#recording-{served.rows[name].rpartition('/')[2]}") for name in ("ogg", "wav"))
    for row in (first, second):
        row.get_by_text("Play").click()
        wait_for_audio(page, row, "currentTime > 0.2")
    wait_for_audio(page, first, "paused")
    second.get_by_text("Play").click()
    wait_for_audio(page, second, "paused")


def wait_for_audio(page, row, fact):
    """Until this is true of the player in a row of the list."""
    page.wait_for_function(f"(row) => document.querySelector(`#${{row}} audio`).{fact}", arg=row.get_attribute("id"))


def test_a_viewer_is_refused_and_leaves_no_trace(served, visit):
    address = served.rows["mono"]
    before = served.noted(Action.PLAY, address)
    page = visit(address, Role.VIEWER)
    page.get_by_text("To hear it you need the role listener").wait_for()
    assert page.locator("audio, .player").count() == 0
    for part in ("audio", "download", "waveform"):
        reply = page.request.get(f"{address}/{part}")
        assert reply.status == 403
        assert "This needs the role listener" in reply.text()
    page.goto("/recordings")
    assert page.locator("audio").count() == 0
    assert served.noted(Action.PLAY, address) == before
