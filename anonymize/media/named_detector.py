"""A detector under the name that its registration gives it, for both looks or for one of them."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from anonymize.finding import Finding, FindingKind
from anonymize.media.detection import Detector, Image, Look, identity


def name_for(name: str, looks: Collection[Look]) -> str:
    """The name of a detector for ``looks``: as it is for both, with the look behind it for one."""
    return name if set(looks) == set(Look) else f"{name}:{','.join(sorted(looks))}"


class NamedDetector:
    """Another detector, renamed; in a look that is not its own it finds nothing.

    A detector for one look, such as one that only re-scans what others masked, says so in its name, so that
    findings and the digest of a detector set say it too. Such a set needs others that take the other look.
    """

    def __init__(self, detector: Detector, *, name: str, looks: Collection[Look]) -> None:
        """Rename a detector.

        Args:
            detector: The detector.
            name: Its name from now on.
            looks: Looks that it takes.
        """
        self._detector = detector
        self._looks = frozenset(looks)
        self.name = name_for(name, looks)
        self.digest = detector.digest
        self.kinds: frozenset[FindingKind] = detector.kinds
        self.runtime = detector.runtime

    def detect(self, image: Image, *, threshold: float, look: Look = Look.MASKING) -> tuple[Finding, ...]:
        """What the detector finds in its looks; see ``Detector.detect``."""
        return self.detect_batch([image], threshold=threshold, look=look)[0]

    def detect_batch(
        self, images: Sequence[Image], *, threshold: float, look: Look = Look.MASKING
    ) -> tuple[tuple[Finding, ...], ...]:
        """``detect`` on each image; see ``Detector.detect_batch``."""
        if look not in self._looks:
            return tuple(() for _ in images)
        found = self._detector.detect_batch(images, threshold=threshold, look=look)
        return tuple(tuple(replace(f, detector=identity(self)) for f in each) for each in found)
