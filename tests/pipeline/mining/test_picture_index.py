"""The sealed index of pictures, by the client against a peer that registers and can refuse."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from joserfc.jwk import OKPKey

from pipeline.client import GatewayClient
from pipeline.errors import RefusedError, RevokedArtefactError, UnregisteredError
from pipeline.mining.descriptors import DESCRIPTOR_LENGTH
from pipeline.mining.errors import IndexFileError
from pipeline.mining.picture_index import joined, open_index, split, write_index
from pipeline.mining.search import ImageSearch
from training_releases import CONTENTS, PURPOSE, TwoReleases


@pytest.fixture
def two(peer: Any, release_key: OKPKey, relay: Any) -> TwoReleases:
    made = TwoReleases(peer, release_key)
    relay[0].app = made.app
    return made


@pytest.fixture
def client(
    two: TwoReleases, relay: Any, principal_key: OKPKey, release_key: OKPKey
) -> Iterator[GatewayClient]:
    assert relay[0].app is two.app
    with GatewayClient(
        relay[1], key=principal_key, principal="engineer-1", purpose=PURPOSE, release_key=release_key
    ) as client:
        yield client


def vectors(count: int, width: int = DESCRIPTOR_LENGTH) -> np.ndarray:
    made = np.random.default_rng(1).normal(size=(count, width)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


@pytest.fixture
def pictures() -> dict[str, np.ndarray]:
    names = [joined(release, item) for release, items in CONTENTS.items() for item in items]
    return dict(zip(names, vectors(len(names)), strict=True))


def written(path: Path, client: GatewayClient, pictures: Any, **more: Any) -> str:
    manifests = [client.manifest(release) for release in CONTENTS]
    return write_index(path, "street", manifests, pictures, client, **more)[0]


@pytest.mark.parametrize(("mode", "limit"), [("flat", 10**6), ("ivf", 5)])
def test_an_index_comes_back_as_it_was_and_lies_sealed(
    client: GatewayClient, two: TwoReleases, pictures: Any, tmp_path: Path, mode: str, limit: int
):
    path = tmp_path / "street.index"
    artefact = written(path, client, pictures, flat_up_to=limit)

    content = path.read_bytes()
    assert b"rel-a" not in content
    assert next(iter(pictures.values())).tobytes()[:64] not in content
    stated = two.artefacts[artefact]
    assert (stated["kind"], stated["derived_from"]["releases"]) == ("index", sorted(CONTENTS))
    assert len(stated["derived_from"]["items"]) == len(pictures)
    opened = open_index(path, client)
    assert (opened.search.mode, opened.releases, opened.artefact) == (mode, tuple(CONTENTS), artefact)
    direct = ImageSearch(pictures, flat_up_to=limit)
    for query in vectors(20)[10:]:
        assert opened.search.find(query, 3) == direct.find(query, 3)
    assert split(opened.search.find(pictures[joined("rel-a", "image/rel-a-003.png")], 1)[0].name) == (
        "rel-a",
        "image/rel-a-003.png",
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["street.index", "street.index.artefact.json"]


def test_an_index_of_nothing_finds_nothing(client: GatewayClient, tmp_path: Path):
    written(tmp_path / "none.index", client, {})
    assert open_index(tmp_path / "none.index", client).search.find(vectors(1)[0], 5) == ()


def test_a_revoked_release_refuses_the_search_and_removes_the_index(
    client: GatewayClient, two: TwoReleases, pictures: Any, tmp_path: Path
):
    path = tmp_path / "street.index"
    written(path, client, pictures)
    two.refused["rel-b"] = 503, "ledger_unavailable"
    with pytest.raises((RefusedError, RevokedArtefactError)):
        open_index(path, client)
    two.refused["rel-b"] = 403, "denied"
    written_again = tmp_path / "again.index"
    with pytest.raises((RefusedError, UnregisteredError)):
        written(written_again, client, pictures)
    assert not written_again.exists()
    assert not list(tmp_path.glob(".*"))


def test_an_altered_index_and_one_of_another_key_do_not_open(
    client: GatewayClient, pictures: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "street.index"
    written(path, client, pictures)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(UnregisteredError):
        open_index(path, client)
    path.write_bytes(content)
    monkeypatch.setattr(GatewayClient, "derived_key", lambda *_: b"\0" * 32)
    with pytest.raises(IndexFileError, match="your key"):
        open_index(path, client)
