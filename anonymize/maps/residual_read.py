"""What a residual scan reads from a map: positions, attributes, and what its own grammar does not know."""

from array import array
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from anonymize.finding import FindingKind
from anonymize.geo.ellipsoid import FloatArray


@dataclass(slots=True)
class MapReading:
    """A map as an independent reader sees it.

    Attributes:
        lat: Latitude of each position in the order of the content, in degrees.
        lon: Longitude.
        pairs: Every attribute, nested or packed ones too, with the texts of its values.
        faults: What the grammar does not know or what must not be there, by kind and name.
        features: How many features there are.
    """

    lat: "array[float]" = field(default_factory=lambda: array("d"))
    lon: "array[float]" = field(default_factory=lambda: array("d"))
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)
    faults: Counter[tuple[FindingKind, str]] = field(default_factory=Counter)
    features: int = 0

    def fault(self, name: str, kind: FindingKind = FindingKind.UNLISTED_FIELD) -> None:
        """Note what must not be there."""
        self.faults[kind, name] += 1

    def positions(self) -> tuple[FloatArray, FloatArray]:
        """Latitudes and longitudes."""
        return np.array(self.lat, dtype=np.float64), np.array(self.lon, dtype=np.float64)
