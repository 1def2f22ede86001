"""Still images: what they are, how they are cleansed, and how the result is checked."""

from collections import Counter
from collections.abc import Sequence

from anonymize.errors import ResidualError
from anonymize.finding import FieldPath, Finding, FindingKind, Treated, Treatment, TreatmentKind
from anonymize.media.detection import Detector, Image, identity
from anonymize.media.image_decoding import (
    ImageKind,
    decode_upright,
    encode,
    open_image,
    released_kind,
    require_whole,
)
from anonymize.media.image_facts import ImageFacts, facts_of, inspect_image
from anonymize.media.image_residual import (
    require_detectors,
    residual_detections,
    run_detector,
    scan_image,
)
from anonymize.media.luminance import light_of, median_luma
from anonymize.media.mask_evidence import mask_treatments
from anonymize.media.mask_file import encode_mask
from anonymize.media.masks import MaskedImage, mask, masked_kinds, treatment_of
from anonymize.profile import ImageProfile

__all__ = ["ImageFacts", "ImageKind", "cleanse_image", "inspect_image", "scan_image"]

_MEDIA_TYPES = {"jpeg": "image/jpeg", "png": "image/png"}
_READER = "image-facts"
_EMBEDDED = frozenset(
    {"exif.thumbnail", "jfif_thumbnail", "jfxx_thumbnail", "heif.thumbnail", "heif.depth_image",
     "heif.auxiliary_image", "heif.image", "heif.sequence", "heif.motion_video"}
)  # fmt: skip


def cleanse_image(
    content: bytes, kind: ImageKind, *, detectors: Sequence[Detector], profile: ImageProfile
) -> Treated:
    """Mask what the profile names and write the pixels anew, without anything else that the file held.

    1. Every required kind has a detector. 2. Structure and size are checked before decoding, and that the
    coded data are whole. 3. The image is brought upright. 4. All detectors run. 5. Findings are masked and
    the pixels encoded. 6. The encoded result is decoded and looked at again (``Look.RESIDUAL``); what is still
    there is masked too, from the original pixels, at most ``profile.max_passes`` times.

    Args:
        content: The original file.
        kind: Its format, which is kept, but that HEIC becomes JPEG.
        detectors: Detectors that together look for all kinds that the profile masks; all of them must run.
        profile: Limits, thresholds and treatments.

    Raises:
        ModelError: A detector or the replacement is missing or fails.
        MalformedItemError: The file is malformed, damaged or of an unsupported kind.
        LimitExceededError: Its size lies outside the profile's limits.
        ProfileError: The profile asks for a mask that would not destroy.
        ResidualError: The last pass still leaves something visible.
    """
    require_detectors(detectors, profile)  # 1
    opened = open_image(content, kind, profile=profile)  # 2
    facts = facts_of(opened)
    require_whole(content, opened, profile=profile)
    image, grey = decode_upright(opened)  # 3
    found, ignored = _detect(image, detectors, profile)  # 4
    for passes in range(1, profile.max_passes + 1):
        masked = mask(image, found, profile=profile)  # 5
        encoded = encode(masked.image, kind, grey=grey, quality=profile.jpeg_quality)
        written, _ = decode_upright(open_image(encoded, released_kind(kind), profile=profile))  # 6
        left = residual_detections(written, found, detectors=detectors, profile=profile)
        if not left:
            structural = _structural_findings(facts)
            measures = _measures(masked, found, facts, detectors, profile)
            light = {"luminance": light_of(image), "median_luma": round(median_luma(image), 1)}
            return Treated(
                content=encoded,
                media_type=_MEDIA_TYPES[released_kind(kind)],
                findings=(*found, *structural),
                treatments=_treatments(found, structural, profile, kind),
                facts={**measures, **light, "passes": passes, "left_by_profile": ignored},
                mask=encode_mask(masked.mask),
            )
        found = (*found, *left)
    raise ResidualError(
        f"masking left something visible (got {len(left)} detections after {profile.max_passes} passes)"
    )


def _detect(
    image: Image, detectors: Sequence[Detector], profile: ImageProfile
) -> tuple[tuple[Finding, ...], dict[str, int]]:
    """What all detectors find, each kind from its own threshold on, and how much the profile leaves, by kind."""
    thresholds = {kind: treatment_of(kind, profile).threshold for kind in masked_kinds(profile)}
    found: list[Finding] = []
    ignored: dict[str, int] = {}
    for detector in detectors:
        wanted = [thresholds[kind] for kind in detector.kinds if kind in thresholds]
        if not wanted:
            continue
        for finding in run_detector(detector, image, threshold=min(wanted)):
            if finding.kind not in thresholds:
                ignored[finding.kind.value] = ignored.get(finding.kind.value, 0) + 1
            elif finding.confidence >= thresholds[finding.kind]:
                found.append(finding)
    return tuple(found), ignored


def _structural_findings(facts: ImageFacts) -> tuple[Finding, ...]:
    fields = [
        Finding(
            kind=FindingKind.EMBEDDED_IMAGE if name in _EMBEDDED else FindingKind.METADATA,
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
        for i in range(facts.extra_images if "trailing_data" in facts.metadata_fields else 0)
    ]  # fmt: skip
    return (*fields, *hidden)


def _treatments(
    found: Sequence[Finding], structural: Sequence[Finding], profile: ImageProfile, kind: ImageKind
) -> tuple[Treatment, ...]:
    treatments = mask_treatments(Counter(f.kind for f in found), profile)
    for of in (FindingKind.METADATA, FindingKind.EMBEDDED_IMAGE):
        count = sum(f.kind is of for f in structural)
        if count:
            treatments.append(Treatment(kind=TreatmentKind.STRIP_METADATA, of=of, count=count))
    quality: dict[str, str | int | float | bool] = {}
    if released_kind(kind) == "jpeg":
        quality["quality"] = profile.jpeg_quality
    treatments.append(
        Treatment(kind=TreatmentKind.REENCODE, of=FindingKind.METADATA, count=1, parameters=quality)
    )
    return tuple(treatments)


def _measures(
    masked: MaskedImage,
    found: Sequence[Finding],
    facts: ImageFacts,
    detectors: Sequence[Detector],
    profile: ImageProfile,
) -> dict[str, object]:
    counts = {kind.value: sum(f.kind is kind for f in found) for kind in sorted(masked_kinds(profile))}
    return {
        "width": facts.width,
        "height": facts.height,
        "faces": counts[FindingKind.FACE],
        "plates": counts[FindingKind.PLATE],
        "masked": counts,
        "masked_share": round(float(masked.mask.mean()), 6),
        "detectors": [identity(d) for d in detectors],
        "converted_from": facts.mode,
    }
