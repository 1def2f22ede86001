"""The right to read shards, which lasts minutes: the gate is asked before one is opened and while it is read."""

import time
from collections.abc import Callable
from typing import Final

from pipeline.client import GatewayClient
from pipeline.errors import RefusedError, UnreachableError
from pipeline.training.errors import LeaseError, ManifestExpiredError
from pipeline.training.shards import ShardFolder, ending_wipes

DEFAULT_LEASE_S: Final = 300.0


class Lease:
    """Asks the gate, under a signed request for the stated purpose, whether a release may be read now.

    It asks for the first byte of a sample of the release: policy decides and the ledger has an entry. What the
    gate said holds for ``every_s``.
    """

    def __init__(
        self,
        client: GatewayClient,
        shards: ShardFolder,
        *,
        every_s: float = DEFAULT_LEASE_S,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Begin without any right.

        Args:
            client: Connection to the gate, which stays open.
            shards: What is wiped where the gate refuses.
            every_s: Seconds for which an answer holds.
            clock: Seconds that only go on.
            wall: Seconds since 1970, for the end of use that the manifest states.

        Raises:
            ValueError: ``every_s`` is not positive.
            UnregisteredError: The gate does not know the shards.
        """
        if not every_s > 0:
            raise ValueError(f"every_s (got {every_s}, expected a positive count of seconds)")
        shards.require_registered()
        self._client, self._shards = client, shards
        self._every_s, self._clock, self._wall = every_s, clock, wall
        self._asked: dict[str, float] = {}
        self._names = {sample.release: sample.name for sample in reversed(shards.manifest.samples)}
        self._ends = shards.manifest.expires_at.timestamp()

    def hold(self, release: str) -> None:
        """Be sure that the gate allowed the release less than ``every_s`` ago; ask where it did not.

        Raises:
            ManifestExpiredError: The manifest's end of use has passed.
            ReleaseEndedError: The gate refuses; the shards of the release are wiped.
            LeaseError: The gate cannot answer now; nothing is read, nothing is wiped.
            PipelineError: What it answers is not what was signed.
        """
        now = self._clock()
        asked = self._asked.get(release)
        if asked is not None and now - asked < self._every_s:
            return
        if self._wall() >= self._ends:
            raise ManifestExpiredError(
                f"training manifest {self._shards.manifest.name!r} "
                f"(got end of use {self._shards.manifest.expires_at.isoformat()}, which has passed)"
            )
        try:
            with ending_wipes(self._shards, release):
                self._client.read(release, self._names[release], 0, 1)
        except (RefusedError, UnreachableError) as error:
            raise LeaseError(f"release {release!r}: the gate cannot answer now: {error}") from error
        self._asked[release] = now
