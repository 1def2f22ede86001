"""How evidence tells which masks were laid, the same for images and videos."""

from collections.abc import Mapping

from anonymize.finding import FindingKind, Treatment, TreatmentKind
from anonymize.media.masks import masked_kinds, treatment_of
from anonymize.media.replacement import installed_replacement
from anonymize.profile import ImageProfile, MaskTreatment

_KINDS = {
    "mean": TreatmentKind.MASK_MEAN,
    "solid": TreatmentKind.MASK_SOLID,
    "pixelate": TreatmentKind.MASK_PIXELATE,
    "blur": TreatmentKind.MASK_BLUR,
    "replace": TreatmentKind.MASK_REPLACE,
}


def mask_treatments(counts: Mapping[FindingKind, int], profile: ImageProfile) -> list[Treatment]:
    """One treatment for each kind that was masked, with every parameter that says what the mask left.

    Args:
        counts: How many places of each kind were masked; kinds of no place are left out.
        profile: Says how each kind is masked.

    Raises:
        ProfileError: The profile asks for a mask that would not destroy.
        ModelError: It asks for a replacement that is not installed.
    """
    treatments = []
    for of in sorted(masked_kinds(profile)):
        chosen, count = treatment_of(of, profile), counts.get(of, 0)
        if count:
            treatments.append(
                Treatment(kind=_KINDS[chosen.mode], of=of, count=count, parameters=_parameters(chosen))
            )
    return treatments


def _parameters(treatment: MaskTreatment) -> dict[str, str | int | float | bool]:
    parameters: dict[str, str | int | float | bool] = {
        "enlarge": treatment.enlarge,
        "threshold": treatment.threshold,
    }
    if treatment.region != "object":
        parameters["region"] = treatment.region
    elif treatment.shape != "box":
        parameters["shape"] = treatment.shape
    if treatment.mode == "pixelate":
        parameters["cells"] = treatment.cells
    elif treatment.mode == "blur":
        parameters |= {"blur_share": treatment.blur_share, "accept_inversion_risk": True}
    elif treatment.mode == "replace":
        replacement = installed_replacement()
        parameters["replacement"] = f"{replacement.name}@{replacement.digest[:12]}"
    return parameters
