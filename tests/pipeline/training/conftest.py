"""Releases behind a server that verifies, a frozen manifest of them, and a folder of shards."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import OKPKey

from pipeline.client import GatewayClient
from pipeline.training.access import Access
from pipeline.training.labels import LabelFile, read_coco
from pipeline.training.shards import ShardFolder, Written, write_shards
from pipeline.training.training_manifest import TrainingManifest, freeze
from training_releases import COUNTS, PURPOSE, SHARD_BYTES, TwoReleases, coco


@pytest.fixture
def two(peer: Any, release_key: OKPKey, relay: Any) -> TwoReleases:
    made = TwoReleases(peer, release_key)
    relay[0].app = made.app
    return made


@pytest.fixture
def access(two: TwoReleases, relay: Any, principal_key: OKPKey, release_key: OKPKey) -> Access:
    assert relay[0].app is two.app
    return Access.of(
        relay[1], key=principal_key, principal="engineer-1", purpose=PURPOSE, release_key=release_key
    )


@pytest.fixture
def client(access: Access) -> Iterator[GatewayClient]:
    with access.client() as client:
        yield client


@pytest.fixture
def labels() -> LabelFile:
    return read_coco(coco())


@pytest.fixture
def manifest(client: GatewayClient, principal_key: OKPKey, labels: LabelFile) -> TrainingManifest:
    return freeze("夜间 1", client, list(COUNTS), key=principal_key, now=datetime.now(tz=UTC), labels=labels)


@pytest.fixture
def shards(tmp_path: Path, manifest: TrainingManifest, principal_key: OKPKey) -> ShardFolder:
    return ShardFolder(tmp_path / "shards", manifest, principal_key)


@pytest.fixture
def write(client: GatewayClient, shards: ShardFolder, labels: LabelFile) -> Callable[..., Written]:
    def run(**changes: Any) -> Written:
        return write_shards(client, shards, **{"labels": labels, "shard_bytes": SHARD_BYTES, **changes})

    return run
