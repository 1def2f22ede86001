"""Masks that a manifest names beside its items are fetched and verified like them."""

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import OKPKey

from pipeline.client import GatewayClient
from pipeline.errors import TamperedReleaseError
from pipeline.manifest import ReleaseManifest, read_release_manifest

MASK = b"where pixels were destroyed"
MASK_NAME = "image/a.jpg.mask.png"
PURPOSE, RELEASE = "perception-training", "rel-4c1f"


def entry(name: str, content: bytes, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "media_type": "image/jpeg",
        "class": "EXT_IMAGE",
        "level": "S1_PROCESSED",
        "size": len(content),
        "sha256": sha256(content).hexdigest(),
        **more,
    }


def beside(name: str = "a.jpg.mask.png", content: bytes = MASK) -> dict[str, Any]:
    found = entry(name, content, media_type="image/png")
    return {key: found[key] for key in ("name", "media_type", "size", "sha256")}


@pytest.fixture
def read(peer: Any, publish: Callable[..., None], release_key: OKPKey) -> Callable[..., ReleaseManifest]:
    """The manifest of a release of some items, signed and read again."""

    def reading(items: list[dict[str, Any]]) -> ReleaseManifest:
        publish(items=items)
        return read_release_manifest(peer.statement, release_key, release=RELEASE, purpose=PURPOSE)

    return reading


@pytest.fixture
def client(
    base_url: str, principal_key: OKPKey, release_key: OKPKey, publish: Callable[..., None]
) -> Iterator[GatewayClient]:
    """A reader of a release of one picture with its mask and one track."""
    contents = {"image/a.jpg": b"a", MASK_NAME: MASK, "b.csv": b"b"}
    mask = beside(MASK_NAME)
    publish(contents, items=[entry("image/a.jpg", b"a", mask=mask), entry("b.csv", b"b")])
    with GatewayClient(
        base_url, key=principal_key, principal="engineer-1", purpose=PURPOSE, release_key=release_key
    ) as client:
        yield client


def test_a_mask_follows_its_item_and_shares_its_class_and_level(read: Any):
    manifest = read([entry("a.jpg", b"a", mask=beside()), entry("b.csv", b"b")])
    assert [file.name for file in manifest.files] == ["a.jpg", "a.jpg.mask.png", "b.csv"]
    assert [item.name for item in manifest.items] == ["a.jpg", "b.csv"]
    mask = manifest.by_name["a.jpg.mask.png"]
    assert manifest.items[0].mask is mask
    assert (mask.data_class, mask.level, mask.size) == ("EXT_IMAGE", "S1_PROCESSED", len(MASK))
    assert manifest.items[1].mask is None


BAD = {
    "outside the folder": beside(name="../a.png"),
    "the name of an item": beside(name="b.csv"),
    "no digest": {k: v for k, v in beside().items() if k != "sha256"},
    "no size": {**beside(), "size": "7"},
    "text": "a.jpg.mask.png",
}


@pytest.mark.parametrize("mask", BAD.values(), ids=BAD.keys())
def test_a_malformed_mask_is_refused(read: Any, mask: Any):
    with pytest.raises(TamperedReleaseError):
        read([entry("a.jpg", b"a", mask=mask), entry("b.csv", b"b")])


def test_masks_arrive_beside_their_items(client: GatewayClient, tmp_path: Path):
    fetched = client.fetch(RELEASE, tmp_path)
    assert (tmp_path / MASK_NAME).read_bytes() == MASK
    assert fetched.fetched == ("image/a.jpg", MASK_NAME, "b.csv")
    assert fetched.size == len(MASK) + 2
    assert client.fetch(RELEASE, tmp_path).kept == fetched.fetched


def test_a_tampered_mask_never_appears(client: GatewayClient, peer: Any, tmp_path: Path):
    peer.contents[MASK_NAME] = MASK[:-1] + b"!"
    with pytest.raises(TamperedReleaseError):
        client.fetch(RELEASE, tmp_path)
    assert not (tmp_path / MASK_NAME).exists()
    assert not (tmp_path / "release.jws").exists()
