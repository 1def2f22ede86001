"""What was measured of detectors on a labelled set, with exact intervals; the JSON form that cards carry."""

from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass as validated

from anonymize.finding import FindingKind

_STRICT = ConfigDict(extra="forbid")
_Count = Annotated[int, Field(ge=0)]
_Share = Annotated[float, Field(ge=0.0, le=1.0)]
_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

CONFIDENCE_LEVEL = 0.95
_PLACES = 4


@validated(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Proportion:
    """``hits`` of ``of`` with the exact (Clopper–Pearson) two-sided 95 % interval.

    The interval takes the trials as independent; objects of one photograph are not quite, so that the true
    interval is somewhat wider.

    Attributes:
        hits: Successes.
        of: Trials; 0 leaves the interval at 0 to 1.
        share: ``hits / of``, rounded to four places; None of no trial.
        low: Lower bound.
        high: Upper bound.
    """

    hits: _Count
    of: _Count
    share: _Share | None
    low: _Share
    high: _Share

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        expected = round(self.hits / self.of, _PLACES) if self.of else None
        if self.hits > self.of or self.share != expected or not self.low <= (self.share or 0.0) <= self.high:
            raise ValueError(f"proportion contradicts itself (got {self.hits} of {self.of}, {self.share})")
        return self


def proportion(hits: int, of: int) -> Proportion:
    """A proportion with its interval.

    Raises:
        ValueError: ``hits`` is not within 0 to ``of``.
    """
    if not 0 <= hits <= of:
        raise ValueError(f"hits must lie within the trials (got {hits} of {of})")
    if of == 0:
        return Proportion(hits=0, of=0, share=None, low=0.0, high=1.0)
    # Importing scipy.stats takes a second, and whoever only reads cards never needs it.
    from scipy.stats import binomtest  # type: ignore[import-untyped]  # noqa: PLC0415

    interval = binomtest(hits, of).proportion_ci(confidence_level=CONFIDENCE_LEVEL, method="exact")
    return Proportion(
        hits=hits,
        of=of,
        share=round(hits / of, _PLACES),
        low=round(float(interval.low), _PLACES),
        high=round(float(interval.high), _PLACES),
    )


@validated(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Recall:
    """Recall over some of the labelled objects.

    Attributes:
        found: Objects that a detection meets at IoU of at least .5.
        covered: Objects of which masks cover at least 75 % of the pixels.
        pixels: Share of all labelled pixels that masks cover; None without objects.
    """

    found: Proportion
    covered: Proportion
    pixels: _Share | None


@validated(frozen=True, slots=True, kw_only=True, config=_STRICT)
class KindQuality:
    """Quality for one kind of finding.

    Attributes:
        kind: The kind.
        all: Every labelled object.
        by_side: By the longer side of the label in pixels: ``<16``, ``16-32``, ``32-64``, ``>=64``.
        by_light: By the light that the picture shows: ``day``, ``dusk``, ``night``.
        detections_per_image: Mean number of detections.
        false_positives_per_image: Mean number of detections at IoU below .5 with every label; an upper bound
            where labels are incomplete.
    """

    kind: FindingKind
    all: Recall
    by_side: dict[str, Recall]
    by_light: dict[Literal["day", "dusk", "night"], Recall]
    detections_per_image: Annotated[float, Field(ge=0.0)]
    false_positives_per_image: Annotated[float, Field(ge=0.0)]


@validated(frozen=True, slots=True, kw_only=True, config=_STRICT)
class DetectorUsed:
    """A detector that took part: its name, the digest of its model file, and what ran it."""

    name: Annotated[str, Field(min_length=1)]
    sha256: _Digest
    runtime: str


@validated(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Quality:
    """What an evaluation measured, without anything of the pictures: neither file names nor places.

    Attributes:
        dataset: Name of the set.
        dataset_digest: SHA-256 over the sorted names, contents and labels of its pictures.
        format: Format of the labels.
        images: Pictures evaluated.
        absent: Labelled pictures whose file is not there.
        labels_complete: Whether every object of the kinds is labelled; where not, false positives are an
            upper bound.
        detectors: Detectors that looked, sorted by name.
        detector_set_digest: What cleansing evidence calls the same detectors.
        treatment_digest: SHA-256 of the masks and thresholds that applied.
        measured_on: Date, ISO 8601.
        kinds: One entry for each kind that was asked for.
    """

    dataset: Annotated[str, Field(min_length=1, max_length=100)]
    dataset_digest: _Digest
    format: str
    images: Annotated[int, Field(gt=0)]
    absent: _Count
    labels_complete: bool
    detectors: Annotated[tuple[DetectorUsed, ...], Field(min_length=1)]
    detector_set_digest: _Digest
    treatment_digest: _Digest
    measured_on: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    kinds: Annotated[tuple[KindQuality, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """A labelled object that was not found or not covered, for a person to look at.

    Attributes:
        file: The picture, relative to the set.
        kind: Kind of the label.
        box: x0, y0, x1, y1 in pixels of the upright picture.
        side: Longer side of the box in pixels.
        light: Light of the picture.
        overlap: Best IoU of a detection.
        covered: Share of its pixels under masks.
    """

    file: str
    kind: FindingKind
    box: tuple[int, int, int, int]
    side: int
    light: str
    overlap: float
    covered: float
