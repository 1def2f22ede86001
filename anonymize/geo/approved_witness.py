"""The displacement of one item of an APPROVED release: checked on what it moved, whatever the item's kind.

Clouds, maps and containers ask for positions in batches of one to millions. What the processor gave is held
against its answer in other batches, and the checks of a release run on it.
"""

from datetime import datetime

import numpy as np
from numpy.typing import ArrayLike

from anonymize.errors import LimitExceededError
from anonymize.geo.approved import ApprovedEvidence, ProcessorSample
from anonymize.geo.approved_checks import SAME_M, Check, Sample, apart_m, ask, release_checks, require_passed
from anonymize.geo.approved_displacement import ApprovedDisplacement
from anonymize.geo.approved_gradient import gradient_checks
from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.secrecy_processor import SecrecyProcessor
from anonymize.profile import TrackProfile

_AT_ONCE = 4096
"""Positions that are checked together, and the most that are taken of one batch."""


class WitnessedDisplacement(ApprovedDisplacement):
    """A processor at work on one item.

    Of every batch that :meth:`displace` moves, up to 4,096 positions are checked: at once where so many are
    there, else with those that follow, the last ones by :meth:`evidence`. Not safe in several threads.
    """

    def __init__(
        self,
        processor: SecrecyProcessor,
        profile: TrackProfile,
        *,
        now: datetime,
        certificate_sha256: str | None = None,
    ) -> None:
        """Take a processor whose attestation is in force.

        Raises:
            ProcessorError: It is not.
        """
        super().__init__(processor, profile, now=now, certificate_sha256=certificate_sha256)
        self._count = self._waiting = 0
        self._seen: list[FloatArray] = []
        self._kept: list[FloatArray] = []
        self._checks: dict[str, None] = {}

    def displace(self, lat: ArrayLike, lon: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Move positions in degrees, EPSG:4326.

        Raises:
            MalformedItemError: A coordinate is not finite or out of range.
            ProcessorError: The processor does not answer as it has to, or fails a check.
        """
        made = super().displace(lat, lon)
        count = len(made[0])
        if count:
            index = np.unique(np.linspace(0, count - 1, min(count, _AT_ONCE)).astype(np.intp))
            columns = (np.atleast_1d(lat), np.atleast_1d(lon), *made)
            self._seen.append(np.stack([np.asarray(c, dtype=np.float64)[index] for c in columns]))
            self._count += count
            self._waiting += len(index)
            if self._waiting >= _AT_ONCE:
                self._check()
        return made

    def evidence(self) -> ApprovedEvidence:
        """What stands behind the positions; the last of them are checked now.

        Raises:
            LimitExceededError: It moved nothing.
            ProcessorError: The processor fails a check.
        """
        self._check()
        if not self._count:
            raise LimitExceededError("a processor vouches for positions (got none, expected at least 1)")
        return ApprovedEvidence(
            attestation=self.attestation, checks=tuple(self._checks), positions=self._count
        )

    def sample(self, count: int) -> ProcessorSample:
        """Positions before and after at even places among those that were checked. Secret.

        Args:
            count: How many at most.

        Raises:
            LimitExceededError: ``count`` is not positive.
        """
        if count < 1:
            raise LimitExceededError(f"a sample holds positions (got {count}, expected at least 1)")
        known = np.concatenate([np.zeros((4, 0)), *self._kept, *self._seen], axis=1)
        index = np.unique(np.linspace(0, max(known.shape[1] - 1, 0), count).round().astype(np.intp))
        lat, lon, out_lat, out_lon = known[:, index[index < known.shape[1]]].tolist()
        return ProcessorSample(
            before=tuple(zip(lat, lon, strict=True)), after=tuple(zip(out_lat, out_lon, strict=True))
        )

    def _check(self) -> None:
        if not self._seen:
            return
        seen = np.concatenate(self._seen, axis=1)
        self._seen, self._waiting = [], 0
        lat, lon, out_lat, out_lon = np.ascontiguousarray(seen)
        sample = Sample(lat=lat, lon=lon, height_m=None, joined=np.zeros(len(lat) - 1, dtype=bool))
        again = ask(self.processor, sample)
        far = apart_m((out_lat, out_lon, None), again, np.arange(len(lat)))
        checks = (
            Check(name="same in another batch", passed=far <= SAME_M, figure=far, limit=SAME_M, unit="m"),
            *release_checks(self.processor, sample, again),
            *gradient_checks(self.processor, sample),
        )
        require_passed(checks)
        self._checks |= dict.fromkeys(check.name for check in checks)
        self._kept.append(seen[:, :: max(seen.shape[1] // 64, 1)])
        if sum(part.shape[1] for part in self._kept) > _AT_ONCE:
            self._kept = [np.concatenate(self._kept, axis=1)[:, ::2]]
