"""The promises of `put`: what is stored is whole, is stored once, and leaves no trace when it fails."""

from __future__ import annotations

import hashlib
import threading
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from plugins.fakes import FakeSource, body, sha256_of
from plugins.sandbox import (
    CONTENT_TYPE,
    METADATA,
    NotTried,
    PromiseBroken,
    Sandbox,
    expect,
    kill_in_mid_put,
    run_in_thread,
)

from .registry import must, should

MIB = 1024 * 1024
SIZES = (1, 1000, MIB - 1, MIB, MIB + 1, 5 * MIB + 17)


# --- A store that works -----------------------------------------------------------------------------------------------


@must
def store_is_usable(sandbox: Sandbox) -> None:
    """check() passes on a store that is set up correctly, however often it is called."""
    sandbox.backend.check()
    sandbox.backend.check()


@must
def bytes_come_back(sandbox: Sandbox) -> None:
    """What was put comes back byte for byte, whatever its size, with or without a length promised."""
    for seed, size in enumerate(SIZES):
        for promised in (True, False):
            key = sandbox.key(f"{size}-{promised}")
            sandbox.put(key, FakeSource(size, seed=seed, promised=promised))
            expect(sandbox.holds(key, seed, size), f"{size} bytes, length promised: {promised}: other bytes came back")


@must
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


@must
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


@should
def labels_are_kept(sandbox: Sandbox) -> None:
    """head() gives the content type and the metadata that were put, or none where the store cannot keep them."""
    key = sandbox.key()
    sandbox.put(key, FakeSource(10))
    info = sandbox.head(key)
    expect(info.content_type in (None, CONTENT_TYPE), f"content type is {info.content_type!r}")
    expect(dict(info.metadata or {}) in ({}, METADATA), f"metadata is {info.metadata!r}")


@must
def source_is_used_rightly(sandbox: Sandbox) -> None:
    """put() opens the source once, reads it to its end, and closes it."""
    for size in (1, MIB, 4 * MIB, 4 * MIB + 1):
        source = FakeSource(size)
        sandbox.put(sandbox.key(str(size)), source)
        expect(source.opens == 1, f"opened {source.opens} times")
        expect(source.ended, f"stopped at {size} bytes without reading to the end, where the source can still fail")
        expect(source.closed, "the stream was not closed: use `with source.open() as stream`")


@should
def source_is_read_in_pieces(sandbox: Sandbox) -> None:
    """put() says with each read how many bytes it wants, also of a short recording."""
    for size in (1, MIB, 4 * MIB):
        source = FakeSource(size)
        sandbox.put(sandbox.key(str(size)), source)
        expect(min(source.reads) > 0, f"read({min(source.reads)}) holds a whole recording in memory: use read(n)")


@must
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


@must
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


@must
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


@must
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


@must
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


@must
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
