"""The promises of everything else: reading, listing, deleting, keys, threads, signed URLs, closing."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor

import requests

from plugins.fakes import FakeSource, body
from plugins.sandbox import TIMEOUT, Answer, NotTried, PromiseBroken, Sandbox, expect

from .registry import must, should

MIB = 1024 * 1024
LONGEST_PREFIX = 120  # characters: the longest keys that are tried still fit behind it
ILLEGAL = (
    *("", "/", "/{}", "{}/", "a//{}", "../{}", "a/../{}", "./{}", ".{}", "a/.{}", "{}.", "a\\{}", "a\0{}", "a\n{}"),
    *("a {}", "\u00e9{}", "a%2F{}", "a?{}", "a#{}", "*{}", "x" * 201 + "{}", "/".join(["x" * 120] * 5) + "{}"),
)
LEGAL = (
    *("A(1)", "it's", "a=b", "x!y_z", "a..b", "x.part", "x.tmp", "0", "a-b/c-d", "/".join("deeper" for _ in range(20))),
    *("x" * 200, "/".join(["y" * 97] * 4)),
)


# --- Reading, listing, deleting ---------------------------------------------------------------------------------------


@must
def ranges_are_exact(sandbox: Sandbox) -> None:
    """get(key, start, end) gives exactly those bytes: end is exclusive, and behind the object's end there are none."""
    size, key = MIB + 17, sandbox.key()
    sandbox.put(key, FakeSource(size, seed=6))
    ranges = [(0, None), (5, None), (0, 1), (0, 10), (10, 10), (7, MIB + 3), (size - 3, size), (size - 3, size + 100)]
    for start, end in [*ranges, (size, None), (size, size + 1), (size + 5, None), (size + 5, size + 10)]:
        expected = body(6, start, min(size if end is None else end, size)) if start < size else b""
        data = sandbox.read(key, start, end)
        expect(data == expected, f"get({start}, {end}) of {size} bytes gave {len(data)} bytes, not {len(expected)}")


@must
def missing_is_said_plainly(sandbox: Sandbox) -> None:
    """head() and get() of a missing key raise an ObjectNotFound or a FileNotFoundError that is not retryable."""
    key = sandbox.key("never")
    for method, error in (("head", sandbox.head_error(key)), ("get", sandbox.read_error(key))):
        expect(error is not None, f"{method}() of a missing key raises nothing")
        named = type(error).__name__ == "ObjectNotFound" or isinstance(error, FileNotFoundError)
        expect(named, f"{method}() of a missing key raises {error!r}")
        retryable = not isinstance(error, FileNotFoundError) and getattr(error, "retryable", True)
        expect(not retryable, f"{method}() of a missing key raises an error without retryable = False")


@must
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


@must
def list_is_complete(sandbox: Sandbox) -> None:
    """list(prefix) gives every key that starts with the prefix, a folder's or not, once and with its size."""
    keys = _store_names(sandbox)
    for prefix in ("", "a", "a/", "a/c/d", "b/1", "zzz"):
        expected = [key for key in keys if key.startswith(f"{sandbox.prefix}/{prefix}")]
        listed = sorted(sandbox.listed(f"{sandbox.prefix}/{prefix}"))
        expect(listed == expected, f"list() of the prefix {prefix!r} gave {listed}, not {expected}")
    sizes = {info.key: info.size for info in map(Answer, sandbox.backend.list(sandbox.prefix + "/"))}
    expect(sizes == {key: len(key) - len(sandbox.prefix) - 1 for key in keys}, f"list() gives the sizes {sizes}")


@should
def list_is_in_order(sandbox: Sandbox) -> None:
    """list() gives the keys sorted."""
    keys = _store_names(sandbox)
    expect(sandbox.listed() == keys, f"list() gave {sandbox.listed()}, not {keys}")


def _store_names(sandbox: Sandbox) -> list[str]:
    """Store an object under each of some names that are hard to sort; its size is the name's length."""
    # No name is also a folder's: a file system cannot hold both `a` and `a/c`.
    names = ["b/1", "a/c/d", "a_", "a-b", "a.b", "a!", "aa/x", "aa=1", "b/10", "b/2", "B", "0/0"]
    for name in names:
        sandbox.put(sandbox.key(name), FakeSource(len(name)))
    return sorted(sandbox.key(name) for name in names)


@must
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
    listed = sorted(sandbox.listed())
    expect(listed == keys, f"list() gave {listed}, not {keys}")


@should
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


@must
def threads_do_not_mix(sandbox: Sandbox) -> None:
    """Eight put() of different keys at once store eight objects, each with its own bytes."""
    keys = [sandbox.key(f"{seed}.mp3") for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda seed: sandbox.put(keys[seed], FakeSource(2 * MIB + seed, seed=seed)), range(8)))
        intact = list(pool.map(lambda seed: sandbox.holds(keys[seed], seed, 2 * MIB + seed), range(8)))
    expect(all(intact), f"other bytes came back from {intact.count(False)} of 8 objects")


@should
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


@should
def close_may_be_repeated(sandbox: Sandbox) -> None:
    """close() may be called twice, also on a backend that was never used."""
    if sandbox.spawn_url is None:
        raise NotTried("there is no URL to make a second backend from (spawn_url)")
    another = type(sandbox.backend).from_url(sandbox.spawn_url, sandbox.spawn_env)
    another.close()
    another.close()
