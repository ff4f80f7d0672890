"""The key grammar, and the template that must never leave it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recordings.errors import InvalidKey
from recordings.keys import MAX_KEY, SIDECAR, InvalidTemplate, KeyTemplate, check_key
from recordings.model import Recording, State
from settings import Settings

DEFAULT_TEMPLATE = Settings.storage_key_template

UUID = "aaaaaaaa-bbbb-cccc-dddd-0123456789ab"
RECEIVED = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
RECORDING = Recording(
    application_id="78d335fa-323d-0114-9c3d-d6f0d48968cf",
    recording_uuid=UUID,
    conversation_uuid="CON-f972836a-550f-45fa-956c-12a2ab5b7d22",
    recording_url="https://api.nexmo.com/v1/files/x",
    state=State.PENDING,
    size=1,
    start_time=datetime(2026, 11, 21, 23, 30, tzinfo=UTC),
    end_time=datetime(2026, 11, 22, 0, 10, tzinfo=UTC),
    received_at=RECEIVED,
    from_="+44 7700 900000",
)

TEMPLATES = [
    DEFAULT_TEMPLATE,
    "{recording_uuid}",
    "{recording_uuid}{ext}",
    "calls/{start:%Y/%m}/{from}-{to}_{direction}_{flow}/{start}-{end}-{recording_uuid}-{channels}.{ext}",
    "{application_id}/{format}/{conversation_uuid}={recording_uuid}.{ext}",
    "{flow}-{recording_uuid}-{from}",
]
ids = st.one_of(
    st.text(max_size=255),
    st.text(alphabet="aA1._-=/ ", max_size=255),
    st.sampled_from(["", ".", "..", "../../etc/passwd", "a/b", "a_b", "x" * 255, "x" * 254 + "y", "ü", "\0"]),
)
words = st.none() | ids


@pytest.mark.parametrize(
    "key",
    ["a", "2026/11/22/CON-1/r.mp3", "A(1)'!=_.-x", "a..b", "a.part", "x" * 200, "/".join(["x" * 127] * 4)],
)
def test_legal_keys_pass(key: str) -> None:
    check_key(key)


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("", "is empty"),
        ("/a", "part ''"),
        ("a//b", "part ''"),
        ("a/", "part ''"),
        ("../a", "part '..'"),
        ("a/./b", "part '.'"),
        (".hidden", "begin with a letter or digit"),
        ("a.", "not end in a dot"),
        ("a\\b", "hold only"),
        ("a\nb", "hold only"),
        ("a\n", "hold only"),
        ("a\0", "hold only"),
        ("a b", "hold only"),
        ("a%2Fb", "hold only"),
        ("é", "begin with"),
        ("x" * 201, "201 characters"),
        ("/".join(["x" * 128] * 4), "515 characters"),
    ],
)
def test_illegal_keys_are_refused_with_the_reason(key: str, told: str) -> None:
    with pytest.raises(InvalidKey, match="Nothing was read or written") as caught:
        check_key(key)
    assert told in str(caught.value)
    assert caught.value.retryable is False


def test_the_default_template() -> None:
    key = KeyTemplate(DEFAULT_TEMPLATE).render(RECORDING, "mp3")
    assert key == f"2026/11/21/CON-f972836a-550f-45fa-956c-12a2ab5b7d22/{UUID}.mp3"


@pytest.mark.parametrize(
    ("template", "key"),
    [
        ("{recording_uuid}", UUID),
        ("{start}/{recording_uuid}", f"20261121T233000Z/{UUID}"),
        ("{end:%Y-%j}/{recording_uuid}", f"2026-326/{UUID}"),
        ("{from}/{to}/{channels}/{recording_uuid}", f"44_7700_900000/unknown/unknown/{UUID}"),
        ("{application_id}/{recording_uuid}", f"{RECORDING.application_id}/{UUID}"),
        ("a{{b}}/{recording_uuid}", None),
    ],
)
def test_fields(template: str, key: str | None) -> None:
    if key is None:
        with pytest.raises(InvalidTemplate):
            KeyTemplate(template)
    else:
        assert KeyTemplate(template).render(RECORDING, "mp3") == key


def test_a_missing_time_is_the_time_of_receipt() -> None:
    late = replace(RECORDING, start_time=None, end_time=None)
    template = KeyTemplate("{start:%Y/%m/%d}/{end:%H}/{recording_uuid}")
    assert template.render(late, "mp3") == f"2026/11/22/09/{UUID}"


def test_times_are_utc_whatever_the_zone_that_they_came_in() -> None:
    there = RECORDING.start_time.astimezone(timezone(timedelta(hours=9)))
    template = KeyTemplate(DEFAULT_TEMPLATE)
    assert template.render(replace(RECORDING, start_time=there), "mp3") == template.render(RECORDING, "mp3")


def test_the_calendars_first_day_is_no_stumbling_block() -> None:
    zero = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=9)))
    assert KeyTemplate(DEFAULT_TEMPLATE).render(replace(RECORDING, start_time=zero), "mp3").startswith("0001/01/01/")


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("", "must hold {recording_uuid}"),
        ("{conversation_uuid}.{ext}", "must hold {recording_uuid}"),
        ("{recording_uuid", "cannot be read"),
        ("{recording_id}", "unknown field {recording_id}"),
        ("{recording_uuid.__class__}", "unknown field"),
        ("{recording_uuid[0]}", "unknown field"),
        ("{}{recording_uuid}", "unknown field {}"),
        ("{recording_uuid!r}", "write {recording_uuid}"),
        ("{recording_uuid:>80}", "only {start} and {end}"),
        ("{start:%B}/{recording_uuid}", "has %B"),
        ("{start:%}/{recording_uuid}", "has %"),
        ("{start:{ext}}/{recording_uuid}", "not safe in every store"),
        ("{start:%H:%M}/{recording_uuid}", "not safe in every store"),
        ("/data/{recording_uuid}", "not safe in every store"),
        ("../{recording_uuid}", "not safe in every store"),
        ("_{recording_uuid}", "not safe in every store"),
        ("{recording_uuid}.", "not safe in every store"),
        ("x" * 190 + "{recording_uuid}", "too long"),
    ],
)
def test_a_wrong_template_stops_the_start_and_says_why(template: str, told: str) -> None:
    with pytest.raises(InvalidTemplate) as caught:
        KeyTemplate(template)
    message = str(caught.value)
    assert told in message
    assert message.startswith("STORAGE_KEY_TEMPLATE ")
    assert message.endswith(" Without the variable, the default is used.")


@pytest.mark.parametrize("template", TEMPLATES)
@settings(deadline=None)
@given(uuid=ids, other=words, conversation=ids, start=st.none() | st.datetimes(), ext=ids)
def test_any_value_makes_a_legal_key_with_room_for_the_sidecar(
    template: str, uuid: str, other: str | None, conversation: str, start: datetime | None, ext: str
) -> None:
    hostile = replace(
        RECORDING,
        recording_uuid=uuid,
        conversation_uuid=conversation,
        application_id=conversation,
        start_time=start,
        end_time=start and start.replace(tzinfo=UTC),
        from_=other,
        to=other,
        flow=other,
        direction=other,
        format=other,
    )
    key = KeyTemplate(template).render(hostile, ext)
    check_key(key)
    check_key(key + SIDECAR)
    assert len(key) <= MAX_KEY - len(SIDECAR)
    assert key == KeyTemplate(template).render(hostile, ext)
    assert key.count("/") == KeyTemplate(template).render(RECORDING, "mp3").count("/")


@pytest.mark.parametrize("template", TEMPLATES)
@settings(deadline=None)
@given(first=ids, second=ids, flows=st.tuples(words, words), ext=st.sampled_from(["mp3", "wav", "ogg", "bin"]))
def test_two_recordings_never_share_a_key(
    template: str, first: str, second: str, flows: tuple[str | None, str | None], ext: str
) -> None:
    maker = KeyTemplate(template)
    keys = [
        maker.render(replace(RECORDING, recording_uuid=uuid, flow=flow, from_=flow), ext)
        for uuid, flow in zip((first, second), flows, strict=True)
    ]
    if first != second:
        assert keys[0] != keys[1]
        assert keys[0] + SIDECAR != keys[1]


def test_an_id_cannot_imitate_the_changed_form_of_another() -> None:
    def key(uuid: str) -> str:
        return KeyTemplate("{recording_uuid}").render(replace(RECORDING, recording_uuid=uuid), "mp3")

    changed = key("a/b")
    assert changed.startswith("a_b=")
    assert key(changed) != changed
    assert len({key("x" * 255), key("x" * 254), key("x" * 254 + "y"), key("a_b"), changed}) == 5


def test_free_text_beside_the_id_cannot_move_its_border() -> None:
    template = KeyTemplate("{flow}-{recording_uuid}")
    one = template.render(replace(RECORDING, flow="a", recording_uuid="b-c"), "mp3")
    two = template.render(replace(RECORDING, flow="a-b", recording_uuid="c"), "mp3")
    assert one != two


def test_no_audio_lies_where_another_ones_sidecar_goes() -> None:
    template = KeyTemplate("{recording_uuid}")
    sidecar = template.render(replace(RECORDING, recording_uuid="x"), "mp3") + SIDECAR
    assert template.render(replace(RECORDING, recording_uuid="x.json"), "mp3") != sidecar
