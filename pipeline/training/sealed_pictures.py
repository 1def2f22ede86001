"""Labelled pictures of sealed shards by place: for loaders that draw them in an order of their own."""

import os
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.client import GatewayClient
from pipeline.training.access import Access
from pipeline.training.dataset import proved_places
from pipeline.training.errors import DetectorError
from pipeline.training.labels import PictureLabels, read_picture_labels
from pipeline.training.lease import DEFAULT_LEASE_S, Lease
from pipeline.training.order import ShardPlace
from pipeline.training.shard_file import ShardReader
from pipeline.training.shards import ShardFolder
from pipeline.training.training_manifest import TrainingManifest

_OPEN_SHARDS: Final = 32


@dataclass(slots=True, kw_only=True)
class _Opened:
    """What a process holds open; one that was forked opens its own."""

    process: int
    client: GatewayClient
    lease: Lease
    shards: OrderedDict[tuple[str, int], ShardReader]


class SealedPictures:
    """The pictures of a training manifest in its order, each decrypted when it is asked for and never kept.

    The gate is asked before a shard is opened and again after ``lease_s``. An object that was forked or pickled to
    a loading process opens a connection and files of its own there.
    """

    def __init__(
        self,
        folder: Path,
        manifest: TrainingManifest,
        access: Access,
        *,
        lease_s: float = DEFAULT_LEASE_S,
    ) -> None:
        """Prove all indexes and read all labels.

        Args:
            folder: Where the shards lie.
            manifest: The verified training manifest.
            access: Who asks the gate.
            lease_s: For how many seconds an answer of the gate holds.

        Raises:
            DetectorError: The manifest freezes no labels.
            ShardError: A shard is missing or altered.
            PipelineError: As ``Lease.hold``.
        """
        if manifest.labels is None:
            raise DetectorError(
                f"training manifest {manifest.name!r} (got no labels, expected one frozen with labels of boxes)"
            )
        self.manifest = manifest
        self._folder, self._access, self._lease_s = folder, access, lease_s
        self._opened: _Opened | None = None
        try:
            self.places: tuple[ShardPlace, ...] = tuple(
                proved_places(ShardFolder(folder, manifest, access.key), self._mine().lease)
            )
            self._at = tuple(
                (p.release, p.number, inside) for p in self.places for inside in range(p.samples)
            )
            self.labels: tuple[PictureLabels, ...] = tuple(
                read_picture_labels(self._shard(release, number).read_labels(inside))
                for release, number, inside in self._at
            )
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._at)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def read(self, index: int) -> bytes:
        """The picture at a place of the manifest.

        Raises:
            ReleaseEndedError: The gate refuses its release.
            LeaseError: The gate cannot answer now.
            ShardError: The shard is missing or altered.
        """
        release, number, inside = self._at[index]
        return self._shard(release, number).read(inside).content

    def close(self) -> None:
        """Close what this process opened."""
        if self._opened is not None and self._opened.process == os.getpid():
            for shard in self._opened.shards.values():
                shard.close()
            self._opened.client.close()
        self._opened = None

    def _mine(self) -> _Opened:
        if self._opened is None or self._opened.process != os.getpid():
            client = self._access.client()
            shards = ShardFolder(self._folder, self.manifest, self._access.key)
            self._opened = _Opened(
                process=os.getpid(),
                client=client,
                lease=Lease(client, shards, every_s=self._lease_s),
                shards=OrderedDict(),
            )
        return self._opened

    def _shard(self, release: str, number: int) -> ShardReader:
        mine = self._mine()
        mine.lease.hold(release)
        shard = mine.shards.pop((release, number), None)
        if shard is None:
            shard = ShardFolder(self._folder, self.manifest, self._access.key).open(release, number)
        mine.shards[release, number] = shard
        if len(mine.shards) > _OPEN_SHARDS:
            mine.shards.popitem(last=False)[1].close()
        return shard
