"""What every storage backend promises: one function for each promise, whose docstring is the promise in a sentence.

A promise uses a `plugins.trial.Trial`; it raises `Broken` with what was seen instead, or `NotTried` with the reason.
Audio is never empty (an empty recording is not fetched), so objects of no bytes are not promised.
"""

from __future__ import annotations

import hashlib
import inspect
import secrets
import threading
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import requests

from .fakes import FakeSource, body, sha256_of
from .trial import CONTENT_TYPE, METADATA, PATIENCE, Trial, aside, kill_in_mid_put, told

MIB = 1024 * 1024
SIZES = (1, 1000, MIB - 1, MIB, MIB + 1, 5 * MIB + 17)
CORNER_ROOM = 120  # characters that the corner's own prefix may take of a key
ILLEGAL = (
    *("", "/", "/{}", "{}/", "a//{}", "../{}", "a/../{}", "./{}", ".{}", "a/.{}", "{}.", "a\\{}", "a\0{}", "a\n{}"),
    *("a {}", "\u00e9{}", "a%2F{}", "a?{}", "a#{}", "*{}", "x" * 201 + "{}", "/".join(["x" * 120] * 5) + "{}"),
)
LEGAL = (
    *("A(1)", "it's", "a=b", "x!y_z", "a..b", "x.part", "x.tmp", "0", "a-b/c-d", "/".join("deeper" for _ in range(20))),
    *("x" * 200, "/".join(["y" * 97] * 4)),
)


class Broken(Exception):
    """A promise that was not kept, with what was seen instead."""


class NotTried(Exception):
    """Why a promise could not be tried here."""


@dataclass(frozen=True, slots=True)
class Check:
    """A promise: its name, what it says in a sentence, and the function that tries it."""

    name: str
    promise: str
    run: Callable[[Trial], None]


CHECKS: list[Check] = []


def promise(run: Callable[[Trial], None]) -> Callable[[Trial], None]:
    """Enter a function into `CHECKS` under its name; its docstring is the promise."""
    CHECKS.append(Check(run.__name__, " ".join((inspect.getdoc(run) or "").split()), run))
    return run


def expect(true: bool, otherwise: str) -> None:
    """Raise `Broken` unless it is true."""
    if not true:
        raise Broken(otherwise)


# --- A store that works ----------------------------------------------------------------------------------------------


@promise
def store_is_usable(trial: Trial) -> None:
    """check() passes on a store that is set up rightly, as often as it is asked."""
    trial.backend.check()
    trial.backend.check()


@promise
def bytes_come_back(trial: Trial) -> None:
    """What was put comes back byte for byte, whatever its size, with or without a length promised."""
    for seed, size in enumerate(SIZES):
        for promised in (True, False):
            key = trial.key(f"{size}-{promised}")
            trial.put(key, FakeSource(size, seed=seed, promised=promised))
            expect(trial.holds(key, seed, size), f"{size} bytes, length promised: {promised}: other bytes came back")


@promise
def put_tells_what_is_there(trial: Trial) -> None:
    """put() answers with the size, created=True, a URI, and either no sha256 or the right one."""
    result = trial.put(trial.key(), FakeSource(MIB + 1, seed=3))
    expect(told(result, "size") == MIB + 1, f"size is {told(result, 'size')!r}, not {MIB + 1}")
    expect(told(result, "created") is True, f"created is {told(result, 'created')!r}")
    expect(told(result, "sha256") in (None, sha256_of(3, MIB + 1)), f"sha256 is {told(result, 'sha256')!r}")
    expect(bool(told(result, "uri")) and isinstance(told(result, "uri"), str), f"uri is {told(result, 'uri')!r}")


@promise
def head_agrees_with_put(trial: Trial) -> None:
    """head() tells the same size as put(), and checksums that are those of the bytes."""
    key = trial.key()
    trial.put(key, FakeSource(MIB + 1, seed=4))
    info, whole = trial.backend.head(key), body(4, 0, MIB + 1)
    expect(told(info, "size") == MIB + 1, f"head() says {told(info, 'size')!r} bytes, not {MIB + 1}")
    right = {"sha256": hashlib.sha256(whole).hexdigest(), "md5": hashlib.md5(whole, usedforsecurity=False).hexdigest()}
    for name, value in dict(told(info, "checksums") or {}).items():
        expect(value == right.get(name, value), f"head() says {name} {value}, the bytes have {right.get(name)}")


@promise
def labels_are_kept(trial: Trial) -> None:
    """head() tells the content type and the metadata that were put, or none where the store has no room for them."""
    key = trial.key()
    trial.put(key, FakeSource(10))
    info = trial.backend.head(key)
    expect(told(info, "content_type") in (None, CONTENT_TYPE), f"content type is {told(info, 'content_type')!r}")
    expect(dict(told(info, "metadata") or {}) in ({}, METADATA), f"metadata is {told(info, 'metadata')!r}")


@promise
def source_is_used_rightly(trial: Trial) -> None:
    """put() opens the source once, reads it in bounded pieces to its end, and closes it."""
    for size in (1, MIB, 4 * MIB, 4 * MIB + 1):
        source = FakeSource(size)
        trial.put(trial.key(str(size)), source)
        expect(source.opens == 1, f"opened {source.opens} times")
        expect(min(source.reads) > 0, "read without saying how much: read(-1) holds a whole recording in memory")
        expect(source.ended, f"stopped at {size} bytes without reading on to the end, where the source can still fail")
        expect(source.closed, "the stream was not closed: use `with source.open() as stream`")


@promise
def memory_stays_bounded(trial: Trial) -> None:
    """Memory does not grow with the recording: a large one is put and read in less than half of its size."""
    size, key = trial.large_bytes, trial.key()
    if size < 32 * MIB:
        raise NotTried(f"an object of {size} bytes is too small to tell (large_bytes)")
    for what, act in (("put", lambda: trial.put(key, FakeSource(size))), ("get", lambda: trial.holds(key, 0, size))):
        peak = _peak_of(act)
        expect(peak < size // 2, f"{what}() of {size // MIB} MiB took {peak // MIB} MiB of memory")


def _peak_of(act: Callable[[], Any]) -> int:
    ours = not tracemalloc.is_tracing()
    if ours:
        tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        act()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        if ours:
            tracemalloc.stop()


# --- Twice is once ---------------------------------------------------------------------------------------------------


@promise
def second_put_writes_nothing(trial: Trial) -> None:
    """A second put() under a key never opens its source, says created=False, and describes what is there."""
    key, second = trial.key(), FakeSource(500, seed=2)
    first = trial.put(key, FakeSource(1000, seed=1))
    result = trial.put(key, second, {"recording_uuid": "another"})
    expect(told(result, "created") is False, f"created is {told(result, 'created')!r}")
    expect(second.opens == 0, "the source was opened although the key was taken")
    expect(told(result, "size") == 1000, f"size is {told(result, 'size')!r}, that of the first is 1000")
    expect(told(result, "sha256") in (None, sha256_of(1, 1000)), "sha256 is not that of what is there")
    expect(told(result, "uri") == told(first, "uri"), f"uri is {told(result, 'uri')!r}")
    expect(trial.holds(key, 1, 1000), "the bytes were changed")


@promise
def race_has_one_winner(trial: Trial) -> None:
    """Of several put() of one key at once exactly one says created=True, and its bytes are the ones that stay."""
    writers, key = 4, trial.key()
    gate = threading.Barrier(writers)

    def meet(position: int) -> None:
        if position == 0:
            with suppress(threading.BrokenBarrierError):  # a backend may let in one writer at a time
                gate.wait(2)

    def write(seed: int) -> Any:
        return trial.put(key, FakeSource(MIB + seed, seed=seed, on_read=meet))

    with ThreadPoolExecutor(writers) as pool:
        results = list(pool.map(write, range(writers)))
    winners = [seed for seed, result in enumerate(results) if told(result, "created")]
    expect(len(winners) == 1, f"{len(winners)} writers say created=True")
    expect(trial.holds(key, winners[0], MIB + winners[0]), "the bytes are not the winner's")
    sizes = {told(result, "size") for result in results}
    expect(sizes == {MIB + winners[0]}, f"the writers tell different sizes: {sizes}")


# --- All or nothing --------------------------------------------------------------------------------------------------


@promise
def nothing_shows_before_the_end(trial: Trial) -> None:
    """While a put() is under way, head(), get() and list() in other threads answer, and show nothing of it."""
    key, size = trial.key(), 9 * MIB
    seen: list[Any] = []

    def look(position: int) -> None:
        if position >= size // 2 and not seen:
            seen.append(aside(lambda: (trial.missing(key), trial.listed(), _get_error(trial, key))))

    trial.put(key, FakeSource(size, on_read=look))
    missing, listed, error = seen[0]
    expect(missing, "head() finds the object before it is complete")
    expect(listed == [], f"list() shows {listed} before it is complete")
    expect(error is not None, "get() serves the object before it is complete")
    expect(trial.listed() == [key], "list() does not show the object once it is complete")


class SourceBroke(Exception):
    """An error of the source that no backend can know."""


@promise
def broken_source_leaves_no_trace(trial: Trial) -> None:
    """An error of the source leaves put() unchanged, nothing is left behind, and the key can be used afterwards."""
    size = 5 * MIB
    # An OSError and a TimeoutError too: a backend that translates its own must not take the source's for them.
    kinds: tuple[type[Exception], ...] = (SourceBroke, ConnectionResetError, TimeoutError)
    for number, fails_at in enumerate((None, 0, 100, MIB, 4 * MIB + 5, size)):
        error, key = kinds[number % 3]("on purpose"), trial.key(f"{number}.mp3")
        source = FakeSource(size, error=error, fails_at=fails_at)
        try:
            trial.put(key, source)
        except Exception as raised:
            expect(raised is error, f"the source raised {error!r} at {fails_at}, put() raised {raised!r}")
        else:
            raise Broken(f"the source raised {error!r} at {fails_at}, put() raised nothing")
        expect(source.closed or fails_at is None, "the stream was not closed after its error")
        expect(trial.missing(key), f"head() finds an object although the source failed at {fails_at}")
        expect(key not in trial.listed(), f"list() shows an object although the source failed at {fails_at}")
        result = trial.put(key, FakeSource(size, seed=8))
        expect(told(result, "created") is True, "the next put() under the same key does not say created=True")
        expect(trial.holds(key, 8, size), "the next put() under the same key stored other bytes")


@promise
def killed_writer_leaves_no_trace(trial: Trial) -> None:
    """A process killed in the middle of a put() leaves nothing in sight, and the key can be used afterwards."""
    if trial.spawn_url is None:
        raise NotTried("no URL to open the store with from another process (spawn_url)")
    key = trial.key()
    kill_in_mid_put(trial, key, 9 * MIB)
    expect(trial.missing(key), "head() finds what a killed process did not finish")
    expect(trial.listed() == [], f"list() shows {trial.listed()} of a killed process")
    expect(told(trial.put(key, FakeSource(9 * MIB, seed=5)), "created") is True, "put() does not say created=True")
    expect(trial.holds(key, 5, 9 * MIB), "put() after the kill stored other bytes")


# --- Reading, listing, deleting --------------------------------------------------------------------------------------


@promise
def ranges_are_exact(trial: Trial) -> None:
    """get(key, start, end) gives exactly those bytes: end is exclusive, and what lies behind the end is nothing."""
    size, key = MIB + 17, trial.key()
    trial.put(key, FakeSource(size, seed=6))
    spans = [(0, None), (5, None), (0, 1), (0, 10), (10, 10), (7, MIB + 3), (size - 3, size), (size - 3, size + 100)]
    for start, end in [*spans, (size, None), (size, size + 1), (size + 5, None), (size + 5, size + 10)]:
        expected = body(6, start, min(size if end is None else end, size)) if start < size else b""
        got = trial.read(key, start, end)
        expect(got == expected, f"get({start}, {end}) of {size} bytes gave {len(got)} bytes, {len(expected)} expected")


@promise
def missing_is_said_plainly(trial: Trial) -> None:
    """head() and get() of a missing key raise an ObjectNotFound or a FileNotFoundError, and it is not tried again."""
    key = trial.key("never")
    for what, error in (("head", trial.lookup_error(key)), ("get", _get_error(trial, key))):
        expect(error is not None, f"{what}() of a missing key raises nothing")
        named = type(error).__name__ == "ObjectNotFound" or isinstance(error, FileNotFoundError)
        expect(named, f"{what}() of a missing key raises {error!r}")
        patient = not isinstance(error, FileNotFoundError) and getattr(error, "retryable", True)
        expect(not patient, f"{what}() of a missing key raises an error without retryable = False")


@promise
def delete_is_final(trial: Trial) -> None:
    """delete() removes the object, may be repeated, is fine with a missing key, and frees the key."""
    key = trial.key()
    trial.backend.delete(trial.key("never"))
    trial.put(key, FakeSource(100, seed=1))
    trial.backend.delete(key)
    expect(trial.missing(key), "head() finds the object after delete()")
    expect(trial.listed() == [], f"list() shows {trial.listed()} after delete()")
    trial.backend.delete(key)
    expect(told(trial.put(key, FakeSource(50, seed=2)), "created") is True, "the key is not free after delete()")
    expect(trial.holds(key, 2, 50), "the old bytes came back")


@promise
def list_is_in_order(trial: Trial) -> None:
    """list(prefix) gives every key that starts with the prefix, folder or not, with its size, in the keys' order."""
    names = ["b/1", "a/c/d", "a", "a-b", "a.b", "a!", "aa/x", "aa=1", "b/10", "b/2", "B", "0/0"]
    names = [name if name != "a" else "a_" for name in names]  # a file system cannot hold both `a` and `a/c`
    keys = sorted(trial.key(name) for name in names)
    for key in names:
        trial.put(trial.key(key), FakeSource(len(key)))
    expect(trial.listed() == keys, f"list() gave {trial.listed()}, not {keys}")
    for prefix in ("a", "a/", "a/c/d", "b/1", "zzz"):
        wanted = [key for key in keys if key.startswith(f"{trial.corner}/{prefix}")]
        got = trial.listed(f"{trial.corner}/{prefix}")
        expect(got == wanted, f"list() of the prefix {prefix!r} gave {got}, not {wanted}")
    sizes = {told(info, "key"): told(info, "size") for info in trial.backend.list(trial.corner + "/")}
    expect(sizes == {key: len(key) - len(trial.corner) - 1 for key in keys}, f"list() tells the sizes {sizes}")


@promise
def legal_keys_work(trial: Trial) -> None:
    """Every key of the grammar is stored, found and listed as it is, odd and long ones too."""
    if len(trial.corner) > CORNER_ROOM:
        raise NotTried(f"the prefix takes {len(trial.corner)} characters; use one of less than {CORNER_ROOM - 40}")
    keys = sorted(trial.key(name) for name in LEGAL)
    for number, key in enumerate(keys):
        trial.put(key, FakeSource(10 + number, seed=number))
    for number, key in enumerate(keys):
        expect(trial.holds(key, number, 10 + number), f"other bytes came back under {key}")
        expect(
            told(trial.backend.head(key), "key") == key, f"head() calls {key} {told(trial.backend.head(key), 'key')}"
        )
    expect(trial.listed() == keys, f"list() gave {trial.listed()}, not {keys}")


@promise
def illegal_keys_are_refused(trial: Trial) -> None:
    """A key outside the grammar is refused by put() before the source is opened, for good (retryable = False)."""
    for pattern in ILLEGAL:
        key, source = pattern.format(secrets.token_hex(4)), FakeSource(10)
        try:
            trial.put(key, source)
        except Exception as error:
            patient = getattr(error, "retryable", True)
            expect(not patient, f"{key[:40]!r} is refused by {error!r}, which has no retryable = False")
        else:
            raise Broken(f"put() took the key {key[:40]!r}")
        expect(source.opens == 0, f"the source was opened for the key {key[:40]!r}")
        expect(trial.lookup_error(key) is not None, f"head() answers for the key {key[:40]!r}")


# --- Together, and at the end ----------------------------------------------------------------------------------------


@promise
def threads_do_not_mix(trial: Trial) -> None:
    """Eight put() of different keys at once store eight objects, each with its own bytes."""
    keys = [trial.key(f"{seed}.mp3") for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda seed: trial.put(keys[seed], FakeSource(2 * MIB + seed, seed=seed)), range(8)))
        right = list(pool.map(lambda seed: trial.holds(keys[seed], seed, 2 * MIB + seed), range(8)))
    expect(all(right), f"other bytes came back from {right.count(False)} of 8 objects")


@promise
def signed_url_serves(trial: Trial) -> None:
    """signed_url() gives None, or a URL that serves the bytes to anyone."""
    key = trial.key()
    trial.put(key, FakeSource(1000, seed=7))
    url = trial.backend.signed_url(key, 60)
    if url is None:
        return
    if not url.startswith(("http://", "https://")):
        raise NotTried(f"a signed URL of the kind {url.partition(':')[0]} cannot be opened here")
    reply = requests.get(url, timeout=PATIENCE)
    expect(reply.status_code == 200, f"the signed URL answers {reply.status_code}: {reply.text[:200]}")
    expect(reply.content == body(7, 0, 1000), "the signed URL serves other bytes")


@promise
def close_may_be_repeated(trial: Trial) -> None:
    """close() may be called twice, also on a backend that was never used."""
    if trial.spawn_url is None:
        raise NotTried("no URL to make a second backend with (spawn_url)")
    another = type(trial.backend).from_url(trial.spawn_url, trial.spawn_env)
    another.close()
    another.close()


def _get_error(trial: Trial, key: str) -> BaseException | None:
    try:
        trial.read(key)
    except Exception as error:  # the caller judges it
        return error
    return None
