"""What every storage backend promises: one check for each promise. The docstring of the check is the promise.

A check works in a `plugins.sandbox.Sandbox`. It raises `PromiseBroken` with what the backend did instead, or `NotTried`
with the reason. Nothing is promised about an object of no bytes: an empty recording is never fetched. How the checks
are run and reported is in `plugins.contract`.
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
from .sandbox import (
    CONTENT_TYPE,
    METADATA,
    TIMEOUT,
    Answer,
    NotTried,
    PromiseBroken,
    Sandbox,
    expect,
    kill_in_mid_put,
    run_in_thread,
)

MIB = 1024 * 1024
SIZES = (1, 1000, MIB - 1, MIB, MIB + 1, 5 * MIB + 17)
LONGEST_PREFIX = 120  # characters: the longest keys that are tried still fit behind it
ILLEGAL = (
    *("", "/", "/{}", "{}/", "a//{}", "../{}", "a/../{}", "./{}", ".{}", "a/.{}", "{}.", "a\\{}", "a\0{}", "a\n{}"),
    *("a {}", "\u00e9{}", "a%2F{}", "a?{}", "a#{}", "*{}", "x" * 201 + "{}", "/".join(["x" * 120] * 5) + "{}"),
)
LEGAL = (
    *("A(1)", "it's", "a=b", "x!y_z", "a..b", "x.part", "x.tmp", "0", "a-b/c-d", "/".join("deeper" for _ in range(20))),
    *("x" * 200, "/".join(["y" * 97] * 4)),
)


@dataclass(frozen=True, slots=True)
class Check:
    """A promise: its name, the promise in a sentence, and the function that tries it."""

    name: str
    promise: str
    run: Callable[[Sandbox], None]


CHECKS: list[Check] = []


def check(run: Callable[[Sandbox], None]) -> Callable[[Sandbox], None]:
    """Add a function to `CHECKS` under its own name; its docstring is the promise."""
    CHECKS.append(Check(run.__name__, " ".join((inspect.getdoc(run) or "").split()), run))
    return run


# --- A store that works -----------------------------------------------------------------------------------------------


@check
def store_is_usable(sandbox: Sandbox) -> None:
    """check() passes on a store that is set up correctly, however often it is called."""
    sandbox.backend.check()
    sandbox.backend.check()


@check
def bytes_come_back(sandbox: Sandbox) -> None:
    """What was put comes back byte for byte, whatever its size, with or without a length promised."""
    for seed, size in enumerate(SIZES):
        for promised in (True, False):
            key = sandbox.key(f"{size}-{promised}")
            sandbox.put(key, FakeSource(size, seed=seed, promised=promised))
            expect(sandbox.holds(key, seed, size), f"{size} bytes, length promised: {promised}: other bytes came back")


@check
def put_tells_what_is_there(sandbox: Sandbox) -> None:
    """put() answers with the size, created=True, a URI, and either the right sha256 or none."""
    result = sandbox.put(sandbox.key(), FakeSource(MIB + 1, seed=3))
    expect(result.size == MIB + 1, f"size is {result.size!r}, not {MIB + 1}")
    expect(result.created is True, f"created is {result.created!r}")
    expect(result.sha256 in (None, sha256_of(3, MIB + 1)), f"sha256 is {result.sha256!r}")
    expect(
        bool(result.uri) and isinstance(result.uri, str),
        f"uri is {result.uri!r}",
    )


@check
def head_agrees_with_put(sandbox: Sandbox) -> None:
    """head() gives the same size as put(), and the right checksums of the bytes."""
    key = sandbox.key()
    sandbox.put(key, FakeSource(MIB + 1, seed=4))
    info, whole = sandbox.head(key), body(4, 0, MIB + 1)
    expect(info.size == MIB + 1, f"head() says {info.size!r} bytes, not {MIB + 1}")
    expected = {
        "sha256": hashlib.sha256(whole).hexdigest(),
        "md5": hashlib.md5(whole, usedforsecurity=False).hexdigest(),
    }
    for name, value in dict(info.checksums or {}).items():
        expect(value == expected.get(name, value), f"head() says {name} {value}, the bytes have {expected.get(name)}")


@check
def labels_are_kept(sandbox: Sandbox) -> None:
    """head() gives the content type and the metadata that were put, or none where the store cannot keep them."""
    key = sandbox.key()
    sandbox.put(key, FakeSource(10))
    info = sandbox.head(key)
    expect(info.content_type in (None, CONTENT_TYPE), f"content type is {info.content_type!r}")
    expect(dict(info.metadata or {}) in ({}, METADATA), f"metadata is {info.metadata!r}")


@check
def source_is_used_rightly(sandbox: Sandbox) -> None:
    """put() opens the source once, reads it in bounded pieces to its end, and closes it."""
    for size in (1, MIB, 4 * MIB, 4 * MIB + 1):
        source = FakeSource(size)
        sandbox.put(sandbox.key(str(size)), source)
        expect(source.opens == 1, f"opened {source.opens} times")
        expect(min(source.reads) > 0, "read without saying how much: read(-1) holds a whole recording in memory")
        expect(source.ended, f"stopped at {size} bytes without reading to the end, where the source can still fail")
        expect(source.closed, "the stream was not closed: use `with source.open() as stream`")


@check
def memory_stays_bounded(sandbox: Sandbox) -> None:
    """Memory does not grow with the recording: a large one is put and read in less than half of its size."""
    size, key = sandbox.large_bytes, sandbox.key()
    if size < 32 * MIB:
        raise NotTried(f"an object of {size} bytes is too small to tell (large_bytes)")
    for method, action in (
        ("put", lambda: sandbox.put(key, FakeSource(size))),
        ("get", lambda: sandbox.holds(key, 0, size)),
    ):
        peak = _peak_memory_of(action)
        expect(peak < size // 2, f"{method}() of {size // MIB} MiB took {peak // MIB} MiB of memory")


def _peak_memory_of(action: Callable[[], Any]) -> int:
    started_here = not tracemalloc.is_tracing()
    if started_here:
        tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        action()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        if started_here:
            tracemalloc.stop()


# --- A key is written once --------------------------------------------------------------------------------------------


@check
def second_put_writes_nothing(sandbox: Sandbox) -> None:
    """A second put() of a key never opens its source, says created=False, and describes the object that is stored."""
    key, second = sandbox.key(), FakeSource(500, seed=2)
    first = sandbox.put(key, FakeSource(1000, seed=1))
    result = sandbox.put(key, second, {"recording_uuid": "another"})
    expect(result.created is False, f"created is {result.created!r}")
    expect(second.opens == 0, "the source was opened although the key was taken")
    expect(result.size == 1000, f"size is {result.size!r}, that of the first is 1000")
    expect(result.sha256 in (None, sha256_of(1, 1000)), "sha256 is not that of the stored object")
    expect(result.uri == first.uri, f"uri is {result.uri!r}")
    expect(sandbox.holds(key, 1, 1000), "the bytes were changed")


@check
def race_has_one_winner(sandbox: Sandbox) -> None:
    """Of several put() of one key at once exactly one says created=True, and its bytes are stored."""
    writers, key = 4, sandbox.key()
    gate = threading.Barrier(writers)

    def meet(position: int) -> None:
        if position == 0:
            with suppress(threading.BrokenBarrierError):  # a backend may accept one writer at a time
                gate.wait(2)

    def write(seed: int) -> Any:
        return sandbox.put(key, FakeSource(MIB + seed, seed=seed, on_read=meet))

    with ThreadPoolExecutor(writers) as pool:
        results = list(pool.map(write, range(writers)))
    winners = [seed for seed, result in enumerate(results) if result.created]
    expect(len(winners) == 1, f"{len(winners)} writers say created=True")
    expect(sandbox.holds(key, winners[0], MIB + winners[0]), "the bytes are not the winner's")
    sizes = {result.size for result in results}
    expect(sizes == {MIB + winners[0]}, f"the writers give different sizes: {sizes}")


# --- All or nothing ---------------------------------------------------------------------------------------------------


@check
def nothing_shows_before_the_end(sandbox: Sandbox) -> None:
    """While a put() runs, head(), get() and list() answer in other threads, and show nothing of its object."""
    key, size = sandbox.key(), 9 * MIB
    observations: list[Any] = []

    def observe() -> tuple[bool, list[str], BaseException | None]:
        return sandbox.missing(key), sandbox.listed(), sandbox.read_error(key)

    def look(position: int) -> None:
        if position >= size // 2 and not observations:
            observations.append(run_in_thread(observe))

    sandbox.put(key, FakeSource(size, on_read=look))
    missing, listed, error = observations[0]
    expect(missing, "head() finds the object before it is complete")
    expect(listed == [], f"list() shows {listed} before it is complete")
    expect(error is not None, "get() serves the object before it is complete")
    expect(sandbox.listed() == [key], "list() does not show the object once it is complete")


class SourceBroke(Exception):
    """An error of the source whose class no backend can know."""


@check
def broken_source_leaves_no_trace(sandbox: Sandbox) -> None:
    """An error of the source leaves put() unchanged, nothing is left behind, and the key can be used afterwards."""
    size = 5 * MIB
    # An OSError and a TimeoutError too: a backend must not translate these as if they were errors of its store.
    error_classes: tuple[type[Exception], ...] = (SourceBroke, ConnectionResetError, TimeoutError)
    for number, fails_at in enumerate((None, 0, 100, MIB, 4 * MIB + 5, size)):
        error, key = error_classes[number % 3]("on purpose"), sandbox.key(f"{number}.mp3")
        source = FakeSource(size, error=error, fails_at=fails_at)
        try:
            sandbox.put(key, source)
        except Exception as raised:
            expect(raised is error, f"the source raised {error!r} at {fails_at}, put() raised {raised!r}")
        else:
            raise PromiseBroken(f"the source raised {error!r} at {fails_at}, put() raised nothing")
        expect(source.closed or fails_at is None, "the stream was not closed after its error")
        expect(sandbox.missing(key), f"head() finds an object although the source failed at {fails_at}")
        expect(key not in sandbox.listed(), f"list() shows an object although the source failed at {fails_at}")
        result = sandbox.put(key, FakeSource(size, seed=8))
        expect(result.created is True, "the next put() under the same key does not say created=True")
        expect(sandbox.holds(key, 8, size), "the next put() under the same key stored other bytes")


@check
def killed_writer_leaves_no_trace(sandbox: Sandbox) -> None:
    """A process killed in the middle of a put() leaves nothing visible, and the key can be used afterwards."""
    if sandbox.spawn_url is None:
        raise NotTried("there is no URL by which another process could open the store (spawn_url)")
    key = sandbox.key()
    kill_in_mid_put(sandbox, key, 9 * MIB)
    expect(sandbox.missing(key), "head() finds what a killed process did not finish")
    expect(sandbox.listed() == [], f"list() shows {sandbox.listed()} of a killed process")
    expect(sandbox.put(key, FakeSource(9 * MIB, seed=5)).created is True, "put() does not say created=True")
    expect(sandbox.holds(key, 5, 9 * MIB), "put() after the kill stored other bytes")


# --- Reading, listing, deleting ---------------------------------------------------------------------------------------


@check
def ranges_are_exact(sandbox: Sandbox) -> None:
    """get(key, start, end) gives exactly those bytes: end is exclusive, and behind the object's end there are none."""
    size, key = MIB + 17, sandbox.key()
    sandbox.put(key, FakeSource(size, seed=6))
    ranges = [(0, None), (5, None), (0, 1), (0, 10), (10, 10), (7, MIB + 3), (size - 3, size), (size - 3, size + 100)]
    for start, end in [*ranges, (size, None), (size, size + 1), (size + 5, None), (size + 5, size + 10)]:
        expected = body(6, start, min(size if end is None else end, size)) if start < size else b""
        data = sandbox.read(key, start, end)
        expect(data == expected, f"get({start}, {end}) of {size} bytes gave {len(data)} bytes, not {len(expected)}")


@check
def missing_is_said_plainly(sandbox: Sandbox) -> None:
    """head() and get() of a missing key raise an ObjectNotFound or a FileNotFoundError that is not retryable."""
    key = sandbox.key("never")
    for method, error in (("head", sandbox.head_error(key)), ("get", sandbox.read_error(key))):
        expect(error is not None, f"{method}() of a missing key raises nothing")
        named = type(error).__name__ == "ObjectNotFound" or isinstance(error, FileNotFoundError)
        expect(named, f"{method}() of a missing key raises {error!r}")
        retryable = not isinstance(error, FileNotFoundError) and getattr(error, "retryable", True)
        expect(not retryable, f"{method}() of a missing key raises an error without retryable = False")


@check
def delete_is_final(sandbox: Sandbox) -> None:
    """delete() removes the object and frees the key; it may be repeated, and accepts a missing key."""
    key = sandbox.key()
    sandbox.backend.delete(sandbox.key("never"))
    sandbox.put(key, FakeSource(100, seed=1))
    sandbox.backend.delete(key)
    expect(sandbox.missing(key), "head() finds the object after delete()")
    expect(sandbox.listed() == [], f"list() shows {sandbox.listed()} after delete()")
    sandbox.backend.delete(key)
    expect(sandbox.put(key, FakeSource(50, seed=2)).created is True, "the key is not free after delete()")
    expect(sandbox.holds(key, 2, 50), "the old bytes came back")


@check
def list_is_in_order(sandbox: Sandbox) -> None:
    """list(prefix) gives every key that starts with the prefix, a folder's or not, with its size, sorted by key."""
    names = ["b/1", "a/c/d", "a", "a-b", "a.b", "a!", "aa/x", "aa=1", "b/10", "b/2", "B", "0/0"]
    names = [name if name != "a" else "a_" for name in names]  # a file system cannot hold both `a` and `a/c`
    keys = sorted(sandbox.key(name) for name in names)
    for key in names:
        sandbox.put(sandbox.key(key), FakeSource(len(key)))
    expect(sandbox.listed() == keys, f"list() gave {sandbox.listed()}, not {keys}")
    for prefix in ("a", "a/", "a/c/d", "b/1", "zzz"):
        expected = [key for key in keys if key.startswith(f"{sandbox.prefix}/{prefix}")]
        listed = sandbox.listed(f"{sandbox.prefix}/{prefix}")
        expect(listed == expected, f"list() of the prefix {prefix!r} gave {listed}, not {expected}")
    sizes = {info.key: info.size for info in map(Answer, sandbox.backend.list(sandbox.prefix + "/"))}
    expect(sizes == {key: len(key) - len(sandbox.prefix) - 1 for key in keys}, f"list() gives the sizes {sizes}")


@check
def legal_keys_work(sandbox: Sandbox) -> None:
    """Every legal key is stored, found and listed unchanged, also an odd or a long one."""
    if len(sandbox.prefix) > LONGEST_PREFIX:
        raise NotTried(f"the prefix takes {len(sandbox.prefix)} characters; use one of less than {LONGEST_PREFIX - 40}")
    keys = sorted(sandbox.key(name) for name in LEGAL)
    for number, key in enumerate(keys):
        sandbox.put(key, FakeSource(10 + number, seed=number))
    for number, key in enumerate(keys):
        expect(sandbox.holds(key, number, 10 + number), f"other bytes came back under {key}")
        expect(
            sandbox.head(key).key == key,
            f"head() calls {key} {sandbox.head(key).key}",
        )
    expect(sandbox.listed() == keys, f"list() gave {sandbox.listed()}, not {keys}")


@check
def illegal_keys_are_refused(sandbox: Sandbox) -> None:
    """put() refuses an illegal key before it opens the source, with an error that is not retryable."""
    for pattern in ILLEGAL:
        key, source = pattern.format(secrets.token_hex(4)), FakeSource(10)
        try:
            sandbox.put(key, source)
        except Exception as error:
            retryable = getattr(error, "retryable", True)
            expect(not retryable, f"{key[:40]!r} is refused by {error!r}, which has no retryable = False")
        else:
            raise PromiseBroken(f"put() accepted the key {key[:40]!r}")
        expect(source.opens == 0, f"the source was opened for the key {key[:40]!r}")
        expect(sandbox.head_error(key) is not None, f"head() answers for the key {key[:40]!r}")


# --- Threads, signed URLs, closing ------------------------------------------------------------------------------------


@check
def threads_do_not_mix(sandbox: Sandbox) -> None:
    """Eight put() of different keys at once store eight objects, each with its own bytes."""
    keys = [sandbox.key(f"{seed}.mp3") for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda seed: sandbox.put(keys[seed], FakeSource(2 * MIB + seed, seed=seed)), range(8)))
        intact = list(pool.map(lambda seed: sandbox.holds(keys[seed], seed, 2 * MIB + seed), range(8)))
    expect(all(intact), f"other bytes came back from {intact.count(False)} of 8 objects")


@check
def signed_url_serves(sandbox: Sandbox) -> None:
    """signed_url() gives None, or a URL that serves the bytes to anyone."""
    key = sandbox.key()
    sandbox.put(key, FakeSource(1000, seed=7))
    url = sandbox.backend.signed_url(key, 60)
    if url is None:
        return
    if not url.startswith(("http://", "https://")):
        raise NotTried(f"a signed URL that begins with {url.partition(':')[0]}: cannot be opened here")
    response = requests.get(url, timeout=TIMEOUT)
    expect(response.status_code == 200, f"the signed URL answers {response.status_code}: {response.text[:200]}")
    expect(response.content == body(7, 0, 1000), "the signed URL serves other bytes")


@check
def close_may_be_repeated(sandbox: Sandbox) -> None:
    """close() may be called twice, also on a backend that was never used."""
    if sandbox.spawn_url is None:
        raise NotTried("there is no URL to make a second backend from (spawn_url)")
    another = type(sandbox.backend).from_url(sandbox.spawn_url, sandbox.spawn_env)
    another.close()
    another.close()
