"""Masks that destroy what they cover; ``blur`` is the exception, and profiles have to consent to it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anonymize.errors import ProfileError
from anonymize.finding import Finding, FindingKind, PixelBox
from anonymize.media.detection import Image
from anonymize.media.mask_fills import fill_of
from anonymize.media.mask_regions import Region, box_of, enlarged, figure_of, region_of
from anonymize.profile import ImageProfile, MaskTreatment

__all__ = [
    "MASKABLE_KINDS", "TEXT_KINDS", "MaskedImage", "coverage", "covered_share", "enlarged", "mask",
    "masked_kinds", "treatment_of",
]  # fmt: skip

TEXT_KINDS = frozenset({FindingKind.PHONE, FindingKind.ADDRESS, FindingKind.STREET_NAME, FindingKind.TEXT})
MASKABLE_KINDS = frozenset({FindingKind.FACE, FindingKind.PLATE, FindingKind.LIMIT_SIGN}) | TEXT_KINDS

# As many cells as a dictionary attack can do nothing with (benchmarks/mask_inversion.py, docs/images.md).
_MOST_CELLS = {FindingKind.FACE: 8, FindingKind.PLATE: 3, FindingKind.LIMIT_SIGN: 2}
_MOST_TEXT_CELLS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskedImage:
    """A masked copy.

    Attributes:
        image: H × W × 3; equal to the original outside ``mask``.
        mask: H × W; true where pixels were destroyed.
        boxes: The boxes that hold each mask, in the order of the findings.
    """

    image: Image
    mask: NDArray[np.bool_]
    boxes: tuple[PixelBox, ...]


def masked_kinds(profile: ImageProfile) -> frozenset[FindingKind]:
    """Kinds that the profile masks, for each of which there must be a detector."""
    kinds = {FindingKind.FACE, FindingKind.PLATE}
    if profile.limit_sign is not None:
        kinds.add(FindingKind.LIMIT_SIGN)
    if profile.text is not None:
        named = {FindingKind(k) for k in profile.text.kinds if k != "any"}
        kinds |= TEXT_KINDS if "any" in profile.text.kinds else named
    return frozenset(kinds)


def treatment_of(kind: FindingKind, profile: ImageProfile) -> MaskTreatment:
    """The profile's treatment of a kind of finding.

    Raises:
        ProfileError: The profile has no mask for that kind, or its pixelation would leave too much.
    """
    if kind not in masked_kinds(profile):
        expected = ", ".join(sorted(masked_kinds(profile)))
        raise ProfileError(f"the profile has no mask for this kind (got {kind.value!r}, expected {expected})")
    named = {
        FindingKind.FACE: profile.face,
        FindingKind.PLATE: profile.plate,
        FindingKind.LIMIT_SIGN: profile.limit_sign,
    }
    treatment = named.get(kind) or (profile.text.mask if profile.text else None)
    if treatment is None:
        raise ProfileError(f"the profile has no mask for this kind (got {kind.value!r})")
    most = _MOST_CELLS.get(kind, _MOST_TEXT_CELLS)
    if treatment.mode == "pixelate" and treatment.cells > most:
        raise ProfileError(
            f"too many cells for a {kind.value} (got {treatment.cells}, expected at most {most})"
        )
    return treatment


def coverage(
    findings: Sequence[Finding], *, size: tuple[int, int], profile: ImageProfile
) -> NDArray[np.bool_]:
    """What ``mask`` would destroy: H × W, true where a mask lies.

    Args:
        findings: Findings of one image.
        size: Its width and height in pixels.
        profile: Says how each kind is masked.

    Raises:
        ProfileError: A finding's kind has no mask in the profile.
        ValueError: A finding has no pixel box, or its box lies outside the image.
    """
    covered = np.zeros((size[1], size[0]), dtype=np.bool_)
    for finding in findings:
        _cover(covered, region_of(finding, treatment_of(finding.kind, profile), size))
    return covered


def covered_share(finding: Finding, covered: NDArray[np.bool_], *, profile: ImageProfile) -> float:
    """Share of what has to be hidden of a finding that ``covered`` hides: of its box, or of a sign's figure.

    Args:
        finding: Of a kind that the profile masks.
        covered: H × W, true where masks lie.
        profile: Says what is masked.

    Raises:
        ProfileError: The finding's kind has no mask in the profile.
        ValueError: The finding has no pixel box, or its box lies outside the image.
    """
    size = (covered.shape[1], covered.shape[0])
    treatment = treatment_of(finding.kind, profile)
    box = box_of(finding, size)
    if treatment.region == "figure":
        region = figure_of(box, enlarge=0.0, size=size)
        if region.inside is not None:
            return float(covered[region.slices][region.inside].mean())
    return float(covered[box.y0 : box.y1, box.x0 : box.x1].mean())


def mask(image: Image, findings: Sequence[Finding], *, profile: ImageProfile) -> MaskedImage:
    """Destroy the pixels of the findings in a copy of the image.

    Every fill is computed from the original, so that the order of findings does not matter to what is
    destroyed; where boxes overlap, the larger one is filled first.

    Args:
        image: H × W × 3; it is not changed.
        findings: Findings of this image, of kinds that the profile masks.
        profile: Says how each kind is masked.

    Raises:
        ModelError: A replacement is missing, fails or shows what it had to replace.
        ProfileError: A finding's kind has no mask in the profile.
        ValueError: A finding has no pixel box, or its box lies outside the image.
    """
    height, width = image.shape[:2]
    jobs = []
    for finding in findings:
        treatment = treatment_of(finding.kind, profile)
        jobs.append((region_of(finding, treatment, (width, height)), finding.kind, treatment))
    done = image.copy()
    covered = np.zeros((height, width), dtype=np.bool_)
    for region, kind, treatment in sorted(jobs, key=lambda job: -job[0].area):
        fill = fill_of(image[region.slices], region.inside, kind, treatment)
        if region.inside is None:
            done[region.slices] = fill
        else:
            np.copyto(done[region.slices], fill, where=region.inside[..., None])
        _cover(covered, region)
    return MaskedImage(image=done, mask=covered, boxes=tuple(region.box for region, _, _ in jobs))


def _cover(covered: NDArray[np.bool_], region: Region) -> None:
    if region.inside is None:
        covered[region.slices] = True
    else:
        covered[region.slices] |= region.inside
