"""The sealed cache against a server that verifies: what lies on disk, what each use asks, what a refusal does."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from fastapi.responses import JSONResponse
from joserfc.jwk import OKPKey

from pipeline.client import GatewayClient
from pipeline.errors import (
    CacheError,
    KeyFileError,
    RefusedError,
    TamperedReleaseError,
    UnreachableError,
)
from pipeline.sealed_cache import SealedCache

RELEASE = "rel-4c1f"
PURPOSE = "perception-training"
IMAGE = "image/000001.jpg"


@pytest.fixture
def client(base_url: str, principal_key: OKPKey, release_key: OKPKey) -> Iterator[GatewayClient]:
    with GatewayClient(
        base_url, key=principal_key, principal="engineer-1", purpose=PURPOSE, release_key=release_key
    ) as client:
        yield client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def cache(client: GatewayClient, principal_key: OKPKey, folder: Path) -> Iterator[SealedCache]:
    with SealedCache(client, folder, key=principal_key) as cache:
        yield cache


def entries(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.sealed"))


def test_every_item_is_fetched_once_and_reads_the_same_again(cache: SealedCache, peer: Any, folder: Path):
    first = {name: cache.read(RELEASE, name) for name in peer.contents}
    again = {name: cache.read(RELEASE, name) for name in peer.contents}

    assert first == again == peer.contents
    kept = {content for content in peer.contents.values() if content}
    assert {path.stem for path in entries(folder)} == {sha256(content).hexdigest() for content in kept}


def test_nothing_on_disk_is_plaintext(cache: SealedCache, peer: Any, folder: Path):
    for name in peer.contents:
        cache.read(RELEASE, name)

    written = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert len(written) > len(peer.contents[IMAGE])
    for piece in (b"second", "时间,东".encode(), bytes(range(32))):
        assert piece not in written
    assert RELEASE not in str(list(folder.rglob("*")))


def test_each_use_asks_the_gate_for_the_first_byte(cache: SealedCache, peer: Any):
    cache.read(RELEASE, IMAGE)
    peer.requests.clear()
    served = []
    original = peer.answer
    peer.answer = lambda name: served.append(name) or original(name)

    for _ in range(3):
        cache.read(RELEASE, IMAGE)

    assert served == [IMAGE] * 3
    assert len(peer.requests) == 3


def test_another_session_of_the_same_principal_goes_on(
    cache: SealedCache, client: GatewayClient, principal_key: OKPKey, peer: Any, folder: Path
):
    cache.read(RELEASE, IMAGE)
    before = [path.stat().st_ino for path in entries(folder)]

    with SealedCache(client, folder, key=principal_key) as other:
        assert other.read(RELEASE, IMAGE) == peer.contents[IMAGE]

    assert [path.stat().st_ino for path in entries(folder)] == before


def refusing(status: int, reason: str) -> Callable[[str], JSONResponse]:
    body = {"title": reason, "status": status, "detail": "as told", "reason": reason}
    return lambda _name: JSONResponse(body, status_code=status, media_type="application/problem+json")


ENDED = {"revoked": (403, "denied"), "no grant": (403, "no_grant"), "gone": (404, "not_found")}


@pytest.mark.parametrize("case", ENDED)
def test_a_refusal_ends_the_use_of_what_was_kept_and_wipes_it(
    cache: SealedCache, peer: Any, folder: Path, case: str
):
    cache.read(RELEASE, IMAGE)
    cache.read(RELEASE, "image/000002.jpg")
    peer.answer = refusing(*ENDED[case])

    with pytest.raises(RefusedError, match=ENDED[case][1]):
        cache.read(RELEASE, IMAGE)

    assert [path for path in folder.rglob("*") if path.is_file()] == []


BUSY = {
    "no ledger": (503, "ledger_unavailable"),
    "too many": (429, "rate_limited"),
    "clock": (401, "expired"),
}


@pytest.mark.parametrize("case", BUSY)
def test_a_gate_that_cannot_answer_now_refuses_the_use_and_keeps_the_copy(
    cache: SealedCache, peer: Any, folder: Path, case: str
):
    cache.read(RELEASE, IMAGE)
    before, peer.answer = peer.answer, refusing(*BUSY[case])

    with pytest.raises(RefusedError):
        cache.read(RELEASE, IMAGE)

    assert len(entries(folder)) == 1
    peer.answer = before
    assert cache.read(RELEASE, IMAGE) == peer.contents[IMAGE]


def test_a_gate_that_is_gone_leaves_nothing_to_read(
    cache: SealedCache, client: GatewayClient, folder: Path, principal_key: OKPKey, release_key: OKPKey
):
    cache.read(RELEASE, IMAGE)
    with GatewayClient(
        "http://127.0.0.1:1",
        key=principal_key,
        principal="engineer-1",
        purpose=PURPOSE,
        release_key=release_key,
    ) as cut_off:
        cut_off._manifests[RELEASE] = client.manifest(RELEASE)
        with SealedCache(cut_off, folder, key=principal_key) as offline, pytest.raises(UnreachableError):
            offline.read(RELEASE, IMAGE)


def test_another_key_opens_nothing(cache: SealedCache, client: GatewayClient, folder: Path):
    cache.read(RELEASE, IMAGE)

    with (
        SealedCache(client, folder, key=OKPKey.generate_key("Ed25519")) as other,
        pytest.raises(CacheError, match=r"image/000001\.jpg"),
    ):
        other.read(RELEASE, IMAGE)


def flip(content: bytearray) -> None:
    content[len(content) // 2] ^= 1


def cut(content: bytearray) -> None:
    del content[-5:]


def cut_at_a_segment(content: bytearray) -> None:
    del content[40 + 1024 * 1024 + 16 :]


def extend(content: bytearray) -> None:
    content += b"more"


def swap(content: bytearray) -> None:
    size = 1024 * 1024 + 16
    content[40 : 40 + 2 * size] = content[40 + size : 40 + 2 * size] + content[40 : 40 + size]


def blank(content: bytearray) -> None:
    content.clear()


@pytest.mark.parametrize("harm", [flip, cut, cut_at_a_segment, extend, swap, blank])
def test_an_altered_copy_is_never_used_and_is_fetched_anew(
    cache: SealedCache, publish: Callable[..., None], folder: Path, harm: Callable[[bytearray], None]
):
    large = os.urandom(3 * 1024 * 1024 + 7)
    publish({"large.bin": large})
    assert cache.read(RELEASE, "large.bin") == large
    (path,) = entries(folder)
    content = bytearray(path.read_bytes())
    harm(content)
    path.write_bytes(content)

    with pytest.raises(CacheError, match="removed"):
        cache.read(RELEASE, "large.bin")

    assert entries(folder) == []
    assert cache.read(RELEASE, "large.bin") == large


def test_a_copy_under_the_name_of_another_item_is_not_taken_for_it(
    cache: SealedCache, publish: Callable[..., None], folder: Path
):
    publish({"a": b"one", "b": b"two"})
    cache.read(RELEASE, "a")
    cache.read(RELEASE, "b")
    one, two = (
        folder / next(folder.iterdir()).name / f"{sha256(c).hexdigest()}.sealed" for c in (b"one", b"two")
    )
    two.write_bytes(one.read_bytes())

    with pytest.raises(CacheError):
        cache.read(RELEASE, "b")


def test_bytes_that_are_not_the_signed_ones_are_not_kept(cache: SealedCache, peer: Any, folder: Path):
    peer.contents[IMAGE] = peer.contents[IMAGE][:-1] + b"x"

    with pytest.raises(TamperedReleaseError):
        cache.read(RELEASE, IMAGE)

    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["salt"]


def test_the_least_recently_used_make_room(
    client: GatewayClient, principal_key: OKPKey, publish: Callable[..., None], folder: Path
):
    publish({name: name.encode() * 1000 for name in "abc"} | {"huge": b"x" * 5000})
    with SealedCache(client, folder, key=principal_key, max_bytes=2500) as cache:
        for name in "aba":
            cache.read(RELEASE, name)
        assert cache.read(RELEASE, "c") == b"c" * 1000
        assert cache.read(RELEASE, "huge") == b"x" * 5000
    kept = {path.stem for path in entries(folder)}
    assert kept == {sha256(name.encode() * 1000).hexdigest() for name in "ac"}


def test_what_a_killed_process_left_is_swept_unless_another_is_at_work(
    client: GatewayClient, principal_key: OKPKey, folder: Path
):
    left = folder / "0000" / "left.partial"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    holds = (
        "import fcntl,os,sys; f=os.open(sys.argv[1],0); "
        "fcntl.flock(f,fcntl.LOCK_SH); print('held',flush=True); input()"
    )
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", holds, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        SealedCache(client, folder, key=principal_key).close()
        assert left.exists()
        other.communicate("\n")
    SealedCache(client, folder, key=principal_key).close()
    assert not left.exists()


def test_wrong_arguments_are_named(client: GatewayClient, principal_key: OKPKey, tmp_path: Path):
    public = OKPKey.import_key(principal_key.as_dict(private=False))
    with pytest.raises(KeyFileError, match="public key"):
        SealedCache(client, tmp_path / "cache", key=public)
    with pytest.raises(ValueError, match="max_bytes"):
        SealedCache(client, tmp_path / "cache", key=principal_key, max_bytes=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match="file"):
        SealedCache(client, tmp_path / "file", key=principal_key)


def test_an_unknown_item_is_an_error_of_the_caller(cache: SealedCache):
    with pytest.raises(KeyError):
        cache.read(RELEASE, "other.jpg")


def test_what_is_derived_is_sealed_beside_the_items_and_wiped_with_them(
    cache: SealedCache, peer: Any, folder: Path
):
    cache.read(RELEASE, IMAGE)
    derived = cache.derived(RELEASE)
    assert derived.get("index") is None
    derived.put("index", b"plain words of an index")

    assert cache.derived(RELEASE).get("index") == b"plain words of an index"
    assert len(entries(folder)) == 2
    assert b"plain words" not in b"".join(path.read_bytes() for path in entries(folder))

    peer.keys.clear()
    with pytest.raises(RefusedError, match="401"):
        cache.derived(RELEASE)
    assert len(entries(folder)) == 2  # an unknown key is no end of a grant
    cache.wipe(RELEASE)
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_an_altered_derived_value_is_never_used(cache: SealedCache, folder: Path):
    derived = cache.derived(RELEASE)
    derived.put("index", b"one")
    derived.put("other", b"two")
    one, other = entries(folder)
    one.write_bytes(other.read_bytes())

    results = []
    for name in ("index", "other"):
        try:
            results.append(derived.get(name))
        except CacheError:
            results.append(None)
    assert results.count(None) == 1
    assert len(entries(folder)) == 1


def test_the_gate_is_asked_anew_before_derived_values_are_used(cache: SealedCache, peer: Any):
    cache.derived(RELEASE)
    before = len(peer.requests)
    cache.derived(RELEASE)
    assert len(peer.requests) == before + 1
