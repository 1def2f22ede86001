"""Still images: what they are, how they are cleansed, and how the result is checked."""

from collections.abc import Sequence

from anonymize.errors import ResidualError
from anonymize.finding import FieldPath, Finding, FindingKind, Treated, Treatment, TreatmentKind
from anonymize.media.detection import Detector, Image, identity
from anonymize.media.image_decoding import ImageKind, decode_upright, encode, open_image
from anonymize.media.image_facts import ImageFacts, facts_of, inspect_image
from anonymize.media.image_residual import (
    require_detectors,
    residual_detections,
    run_detector,
    scan_image,
)
from anonymize.media.masks import MaskedImage, mask, treatment_of
from anonymize.profile import ImageProfile

__all__ = ["ImageFacts", "ImageKind", "cleanse_image", "inspect_image", "scan_image"]

_MEDIA_TYPES = {"jpeg": "image/jpeg", "png": "image/png"}
_MASKS = {
    "mean": TreatmentKind.MASK_MEAN,
    "solid": TreatmentKind.MASK_SOLID,
    "pixelate": TreatmentKind.MASK_PIXELATE,
}
_READER = "image-facts"
_THUMBNAILS = ("exif.thumbnail", "jfif_thumbnail", "jfxx_thumbnail")


def cleanse_image(
    content: bytes, kind: ImageKind, *, detectors: Sequence[Detector], profile: ImageProfile
) -> Treated:
    """Mask faces and plates and write the pixels anew, without anything else that the file held.

    1. Every required kind has a detector. 2. Structure and size are checked before decoding. 3. The image is
    brought upright. 4. All detectors run. 5. Findings are masked and the pixels encoded. 6. The encoded
    result is decoded and looked at again; what is still there is masked too, from the original pixels, at
    most ``profile.max_passes`` times.

    Args:
        content: The original file.
        kind: Its format, which is kept.
        detectors: Detectors that together look for faces and plates; all of them must run.
        profile: Limits, thresholds and treatments.

    Raises:
        ModelError: A detector is missing or fails.
        MalformedItemError: The file is malformed or of an unsupported kind.
        LimitExceededError: Its size lies outside the profile's limits.
        ProfileError: The profile asks for a mask that would not destroy.
        ResidualError: The last pass still leaves something visible.
    """
    require_detectors(detectors)  # 1
    opened = open_image(content, kind, profile=profile)  # 2
    facts = facts_of(opened)
    image, grey = decode_upright(opened)  # 3
    found = _detect(image, detectors, profile)  # 4
    for passes in range(1, profile.max_passes + 1):
        masked = mask(image, found, profile=profile)  # 5
        encoded = encode(masked.image, kind, grey=grey, quality=profile.jpeg_quality)
        written, _ = decode_upright(open_image(encoded, kind, profile=profile))  # 6
        left = residual_detections(written, found, detectors=detectors, profile=profile)
        if not left:
            structural = _structural_findings(facts)
            return Treated(
                content=encoded,
                media_type=_MEDIA_TYPES[kind],
                findings=(*found, *structural),
                treatments=_treatments(found, structural, profile, kind),
                facts=_measures(masked, found, facts, detectors, passes),
            )
        found = (*found, *left)
    raise ResidualError(
        f"masking left something visible (got {len(left)} detections after {profile.max_passes} passes)"
    )


def _detect(image: Image, detectors: Sequence[Detector], profile: ImageProfile) -> tuple[Finding, ...]:
    """What all detectors find, each kind from its own threshold on."""
    thresholds = {kind: treatment_of(kind, profile).threshold for d in detectors for kind in d.kinds}
    found: list[Finding] = []
    for detector in detectors:
        lowest = min(thresholds[kind] for kind in detector.kinds)
        found += [
            f for f in run_detector(detector, image, threshold=lowest) if f.confidence >= thresholds[f.kind]
        ]
    return tuple(found)


def _structural_findings(facts: ImageFacts) -> tuple[Finding, ...]:
    fields = [
        Finding(
            kind=FindingKind.EMBEDDED_IMAGE if name in _THUMBNAILS else FindingKind.METADATA,
            where=FieldPath(path=name),
            confidence=1.0,
            detector=_READER,
        )
        for name in facts.metadata_fields
        if name != "trailing_data"
    ]
    hidden = [
        Finding(kind=FindingKind.EMBEDDED_IMAGE, where=FieldPath(path=f"trailing_data/{i}"), confidence=1.0,
                detector=_READER)
        for i in range(facts.extra_images)
    ]  # fmt: skip
    return (*fields, *hidden)


def _treatments(
    found: Sequence[Finding], structural: Sequence[Finding], profile: ImageProfile, kind: ImageKind
) -> tuple[Treatment, ...]:
    treatments = []
    for of in (FindingKind.FACE, FindingKind.PLATE):
        count = sum(f.kind is of for f in found)
        chosen = treatment_of(of, profile)
        parameters: dict[str, str | int | float | bool] = {
            "enlarge": chosen.enlarge,
            "threshold": chosen.threshold,
        }
        if chosen.mode == "pixelate":
            parameters["cells"] = chosen.cells
        if count:
            treatments.append(Treatment(kind=_MASKS[chosen.mode], of=of, count=count, parameters=parameters))
    for of in (FindingKind.METADATA, FindingKind.EMBEDDED_IMAGE):
        count = sum(f.kind is of for f in structural)
        if count:
            treatments.append(Treatment(kind=TreatmentKind.STRIP_METADATA, of=of, count=count))
    quality: dict[str, str | int | float | bool] = {"quality": profile.jpeg_quality} if kind == "jpeg" else {}
    treatments.append(
        Treatment(kind=TreatmentKind.REENCODE, of=FindingKind.METADATA, count=1, parameters=quality)
    )
    return tuple(treatments)


def _measures(
    masked: MaskedImage,
    found: Sequence[Finding],
    facts: ImageFacts,
    detectors: Sequence[Detector],
    passes: int,
) -> dict[str, object]:
    return {
        "width": facts.width,
        "height": facts.height,
        "faces": sum(f.kind is FindingKind.FACE for f in found),
        "plates": sum(f.kind is FindingKind.PLATE for f in found),
        "masked_share": round(float(masked.mask.mean()), 6),
        "passes": passes,
        "detectors": [identity(d) for d in detectors],
        "converted_from": facts.mode,
    }
