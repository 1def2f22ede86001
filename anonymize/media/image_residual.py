"""The independent second look at a treated image: its bytes by an allow-list, its pixels by the residual look."""

from collections.abc import Sequence
from dataclasses import replace

from anonymize.errors import ModelError
from anonymize.finding import FieldPath, Finding, FindingKind, PixelBox
from anonymize.media import jpeg_markers, png_chunks
from anonymize.media.detection import Detector, Image, Look, identity
from anonymize.media.image_decoding import ImageKind, decode_upright, open_image, released_kind
from anonymize.media.jpeg_markers import walk_jpeg
from anonymize.media.masks import MASKABLE_KINDS, coverage, covered_share, masked_kinds, treatment_of
from anonymize.media.png_chunks import walk_png
from anonymize.profile import ImageProfile
from anonymize.residual import ResidualReport

_READERS = {"jpeg": "jpeg-markers", "png": "png-chunks"}


def require_detectors(detectors: Sequence[Detector], profile: ImageProfile) -> None:
    """Refuse a set of detectors that misses a kind which the profile masks, or finds what nothing can mask.

    Detectors may find signs and text that the profile leaves; such findings are ignored.

    Raises:
        ModelError: No detector is given, a required kind is missing, or a kind has no mask in any profile.
    """
    kinds = frozenset[FindingKind]().union(*(d.kinds for d in detectors))
    missing = sorted(masked_kinds(profile) - kinds)
    if missing:
        raise ModelError(f"no detector for {', '.join(missing)} (got {[d.name for d in detectors]})")
    if kinds - MASKABLE_KINDS:
        raise ModelError(f"detected kinds have no mask (got {sorted(kinds - MASKABLE_KINDS)})")


def scan_image(
    content: bytes,
    kind: ImageKind,
    *,
    detectors: Sequence[Detector],
    profile: ImageProfile,
    masked: Sequence[Finding],
) -> ResidualReport:
    """Look for what must not be in a treated image.

    1. Every JPEG marker or PNG chunk is on the allow-list and nothing follows the image. 2. The detectors,
    looking again (``Look.RESIDUAL``: other scales and orientation than the masking pass saw), find nothing
    outside the masks.

    Args:
        content: The treated bytes.
        kind: Their format, or that of the original: a HEIC was written as JPEG.
        detectors: Detectors that together look for all kinds that the profile masks.
        profile: Thresholds, and the enlargement of masks.
        masked: Findings of the masking pass; detections that lie in their masks do not count. Those without
            a box, and those of kinds that the profile leaves, are ignored.

    Raises:
        ModelError: No or not all kinds of detector are given, or one fails.
        MalformedItemError: The treated bytes cannot be decoded.
        LimitExceededError: The treated image's size lies outside the profile's limits.
    """
    require_detectors(detectors, profile)
    kind = released_kind(kind)
    structural = _structural(content, kind)  # 1
    image, _ = decode_upright(open_image(content, kind, profile=profile))
    kinds = masked_kinds(profile)
    boxes = tuple(f for f in masked if isinstance(f.where, PixelBox) and f.kind in kinds)
    visible = residual_detections(image, boxes, detectors=detectors, profile=profile)  # 2
    return ResidualReport(
        scanners=(_READERS[kind], *(f"{identity(d)}+{Look.RESIDUAL}" for d in detectors)),
        residual=(*structural, *visible),
        facts={"width": image.shape[1], "height": image.shape[0], "masks": len(boxes)},
    )


def residual_detections(
    image: Image, masked: Sequence[Finding], *, detectors: Sequence[Detector], profile: ImageProfile
) -> tuple[Finding, ...]:
    """Detections of the residual look that existing masks do not cover.

    Raises:
        ModelError: A detector fails.
    """
    covered = coverage(masked, size=(image.shape[1], image.shape[0]), profile=profile)
    thresholds = residual_thresholds(profile)
    left = []
    for detector in detectors:
        wanted = [thresholds[kind] for kind in detector.kinds if kind in thresholds]
        if not wanted:
            continue
        for finding in run_detector(detector, image, threshold=min(wanted), look=Look.RESIDUAL):
            if not isinstance(finding.where, PixelBox):
                got = type(finding.where).__name__
                raise ModelError(f"{detector.name} gave a finding without a pixel box (got {got})")
            if finding.kind not in thresholds or finding.confidence < thresholds[finding.kind]:
                continue
            if covered_share(finding, covered, profile=profile) < profile.residual_coverage:
                left.append(replace(finding, detector=f"{finding.detector}+{Look.RESIDUAL}"))
    return tuple(left)


def residual_thresholds(profile: ImageProfile) -> dict[FindingKind, float]:
    """Least confidence at which the residual look objects, for each kind that the profile masks.

    It never objects to what the masking look had to leave: a kind counts from its own threshold on where that
    is the greater one.
    """
    return {
        kind: max(profile.residual_threshold, treatment_of(kind, profile).threshold)
        for kind in masked_kinds(profile)
    }


def run_detector(
    detector: Detector, image: Image, *, threshold: float, look: Look = Look.MASKING
) -> tuple[Finding, ...]:
    """Run a detector; whatever it raises stops the item.

    Raises:
        ModelError: The detector raised anything.
    """
    try:
        return detector.detect(image, threshold=threshold, look=look)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"detector {detector.name} failed: {type(error).__name__}: {error}") from error


def _structural(content: bytes, kind: ImageKind) -> tuple[Finding, ...]:
    """Markers or chunks that are not on the allow-list, and bytes behind the image."""
    if kind == "jpeg":
        jpeg = walk_jpeg(content)
        names = [jpeg_markers.field_name(s) for s in jpeg.segments if not jpeg_markers.carries_only_pixels(s)]
        trailing = jpeg.trailing
    else:
        png = walk_png(content)
        names = [
            png_chunks.field_name(c) for c in png.chunks if not png_chunks.carries_only_pixels(c, strict=True)
        ]
        trailing = png.trailing
    findings = [
        Finding(kind=FindingKind.METADATA, where=FieldPath(path=n), confidence=1.0, detector=_READERS[kind])
        for n in names
    ]
    if trailing:
        findings.append(Finding(kind=FindingKind.EMBEDDED_IMAGE, where=FieldPath(path="trailing_data"),
                                confidence=1.0, detector=_READERS[kind]))  # fmt: skip
    return tuple(findings)
