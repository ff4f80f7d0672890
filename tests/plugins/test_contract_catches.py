"""The contract is worth something only if it catches backends that break it: each of these does, in one way."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from backends.local.storage import LocalStorage
from plugins.contract import CHECKS, CheckResult, FakeSource, Level, Target, run_check, run_contract
from recordings.storage import ObjectInfo, PutResult

MIB = 1024 * 1024


class Sabotaged(LocalStorage):
    @classmethod
    def from_url(cls, url: str, env: Mapping[str, str]) -> Sabotaged:
        return cls(Path(urlsplit(url).path))


class Overwrites(Sabotaged):
    def put(self, key: str, source: Any, **labels: Any) -> PutResult:
        self.delete(key)
        return super().put(key, source, **labels)


class OpensBeforeLooking(Sabotaged):
    def put(self, key: str, source: Any, **labels: Any) -> PutResult:
        source.open()
        return super().put(key, source, **labels)


class WritesInPlace(Sabotaged):
    """Writes straight to the final name: visible early, left behind by errors and kills."""

    pieces = MIB

    def put(self, key: str, source: Any, **labels: Any) -> PutResult:
        file = self.root / key
        if file.exists():
            return PutResult(file.stat().st_size, None, False, file.as_uri())
        file.parent.mkdir(parents=True, exist_ok=True)
        with source.open() as stream, file.open("wb") as out:
            while piece := stream.read(self.pieces):
                out.write(piece)
                out.flush()
        return PutResult(file.stat().st_size, None, True, file.as_uri())


class ReadsAllAtOnce(WritesInPlace):
    pieces = -1


class ReadsHugePieces(WritesInPlace):
    pieces = 1 << 40


class Translates(Sabotaged):
    def put(self, key: str, source: Any, **labels: Any) -> PutResult:
        try:
            return super().put(key, source, **labels)
        except OSError as error:
            raise RuntimeError("the store failed") from error


class SwallowsTheEnd(Sabotaged):
    """Stops at the promised size, where the source has not yet said that it is whole."""

    def put(self, key: str, source: Any, **labels: Any) -> PutResult:
        class Short:
            size = source.size

            def open(self) -> Any:
                stream = source.open()
                read, left = stream.read, [source.size or 1 << 60]

                def bounded(n: int) -> bytes:
                    piece = read(min(n, left[0])) if left[0] else b""
                    left[0] -= len(piece)
                    return piece

                stream.read = bounded
                return stream

        return super().put(key, Short(), **labels)


class MissingIsKeyError(Sabotaged):
    def head(self, key: str) -> ObjectInfo:
        try:
            return super().head(key)
        except Exception as error:
            raise KeyError(key) from error


class EndIsInclusive(Sabotaged):
    def get(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        return super().get(key, start, None if end is None else end + 1)


class ListsBackwards(Sabotaged):
    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        yield from reversed(list(super().list(prefix)))


class ListsTooLittle(Sabotaged):
    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        yield from list(super().list(prefix))[1:]


class MislabelsAll(Sabotaged):
    def head(self, key: str) -> ObjectInfo:
        return ObjectInfo(key=key, size=super().head(key).size, content_type="text/html")


class DeletesLoudly(Sabotaged):
    def delete(self, key: str) -> None:
        super().head(key)
        super().delete(key)


class LiesAboutTheSize(Sabotaged):
    def head(self, key: str) -> ObjectInfo:
        super().head(key)
        return ObjectInfo(key=key, size=1)


class LiesAboutTheDigest(Sabotaged):
    def head(self, key: str) -> ObjectInfo:
        return ObjectInfo(key=key, size=super().head(key).size, checksums={"sha256": "0" * 64})


class AllCreated(Sabotaged):
    def put(self, key: str, source: Any, **labels: Any) -> PutResult:
        result = super().put(key, source, **labels)
        return PutResult(result.size, result.sha256, True, result.uri)


class ClosesOnce(Sabotaged):
    def close(self) -> None:
        del self._xattrs


class SignsNonsense(Sabotaged):
    def signed_url(self, key: str, expires_in: int) -> str:
        return "ftp://example.invalid/x"


class Garbles(Sabotaged):
    def get(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        for piece in super().get(key, start, end):
            yield piece[::-1]


CASES = [
    (Overwrites, "second_put_writes_nothing"),
    (OpensBeforeLooking, "second_put_writes_nothing"),
    (OpensBeforeLooking, "source_is_used_rightly"),
    (OpensBeforeLooking, "illegal_keys_are_refused"),
    (WritesInPlace, "nothing_shows_before_the_end"),
    (WritesInPlace, "broken_source_leaves_no_trace"),
    (WritesInPlace, "killed_writer_leaves_no_trace"),
    (WritesInPlace, "race_has_one_winner"),
    (WritesInPlace, "illegal_keys_are_refused"),
    (ReadsAllAtOnce, "source_is_read_in_pieces"),
    (ReadsAllAtOnce, "memory_stays_bounded"),
    (ReadsHugePieces, "memory_stays_bounded"),
    (Translates, "broken_source_leaves_no_trace"),
    (SwallowsTheEnd, "source_is_used_rightly"),
    (MissingIsKeyError, "missing_is_said_plainly"),
    (EndIsInclusive, "ranges_are_exact"),
    (ListsBackwards, "list_is_in_order"),
    (ListsTooLittle, "list_is_complete"),
    (ListsTooLittle, "legal_keys_work"),
    (MislabelsAll, "labels_are_kept"),
    (DeletesLoudly, "delete_is_final"),
    (LiesAboutTheSize, "head_agrees_with_put"),
    (LiesAboutTheDigest, "head_agrees_with_put"),
    (AllCreated, "second_put_writes_nothing"),
    (AllCreated, "race_has_one_winner"),
    (ClosesOnce, "close_may_be_repeated"),
    (Garbles, "bytes_come_back"),
    (Garbles, "threads_do_not_mix"),
]


def verdict_on(kind: type[Sabotaged], name: str, folder: Path, **more: Any) -> CheckResult:
    url = folder.as_uri()
    check = next(check for check in CHECKS if check.name == name)
    return run_check(check, Target(kind.from_url(url, {}), spawn_url=url, **more))


@pytest.mark.parametrize(("kind", "name"), CASES, ids=lambda value: getattr(value, "__name__", value))
def test_a_backend_that_breaks_a_promise_is_caught(kind: type[Sabotaged], name: str, tmp_path: Path) -> None:
    verdict = verdict_on(kind, name, tmp_path)
    assert not verdict.passed
    assert verdict.tried
    assert verdict.detail


def test_a_plugin_that_leaves_keys_to_us_and_buffers_short_recordings_is_fit() -> None:
    """What such a plugin breaks is warned of; everything else fails it."""
    spared = {"illegal_keys_are_refused", "source_is_read_in_pieces"}
    spared |= {"labels_are_kept", "list_is_in_order", "signed_url_serves", "close_may_be_repeated"}
    assert {check.name for check in CHECKS if check.level is Level.SHOULD} == spared


@pytest.mark.parametrize(
    ("kind", "name", "broken"),
    [(OpensBeforeLooking, "illegal_keys_are_refused", False), (Overwrites, "second_put_writes_nothing", True)],
)
def test_a_result_says_whether_the_store_is_unfit_or_its_author_warned(
    kind: type[Sabotaged], name: str, broken: bool, tmp_path: Path
) -> None:
    verdict = verdict_on(kind, name, tmp_path)
    assert (verdict.passed, verdict.broken, verdict.warned) == (False, broken, not broken)
    kept = verdict_on(Sabotaged, name, tmp_path)
    assert (kept.passed, kept.broken, kept.warned) == (True, False, False)
    assert kept.level is verdict.level


def test_the_page_has_each_promise_with_its_level() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "plugins.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (must|should) \| \w", page, re.MULTILINE)
    assert rows == [(check.name, check.level) for check in CHECKS]


def test_each_promise_is_a_sentence() -> None:
    for check in CHECKS:
        assert check.promise.endswith("."), check.name
        assert len(check.promise.split()) > 4
    assert len({check.name for check in CHECKS}) == len(CHECKS)


def test_what_cannot_be_tried_says_why(tmp_path: Path) -> None:
    verdict = verdict_on(SignsNonsense, "signed_url_serves", tmp_path)
    assert (verdict.passed, verdict.tried) == (True, False)
    assert "ftp" in verdict.detail
    verdict = verdict_on(Sabotaged, "memory_stays_bounded", tmp_path, large_bytes=1000)
    assert "too small" in verdict.detail
    verdict = verdict_on(Sabotaged, "store_is_usable", tmp_path, skip={"store_is_usable": "no time"})
    assert (verdict.passed, verdict.tried, verdict.detail) == (True, False, "not tried: no time")


def test_the_whole_contract_reports_as_it_goes_and_clears_up(tmp_path: Path) -> None:
    heard: list[CheckResult] = []
    store = LocalStorage(tmp_path)
    store.put("mine/a", FakeSource(3), content_type="x", metadata={})
    results = run_contract(store, prefix="try/out", on_result=heard.append, large_bytes=MIB)
    assert results == heard
    assert [result.name for result in results] == [check.name for check in CHECKS]
    assert all(result.passed for result in results)
    assert [info.key for info in store.list()] == ["mine/a"]
