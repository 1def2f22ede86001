"""Which detectors look at images follows from the profile and the registry."""

from dataclasses import replace
from pathlib import Path

import pytest

from anonymize.finding import FindingKind
from anonymize.media.image_residual import require_detectors
from anonymize.profile import MaskTreatment, Profile, TextMaskTreatment, shipped_profile
from gateway.flow.gate import Instruments
from gateway.settings import Settings


def instruments(home: Path, profile: Profile) -> Instruments:
    return Instruments(Settings(home=home, passphrase="test"), profile, lambda: ())


def test_text_is_looked_for_iff_the_profile_masks_it(tmp_path: Path) -> None:
    pytest.importorskip("rapidocr_onnxruntime", reason="the extra ocr is not installed")
    shipped = shipped_profile("cn-2026").profile
    plain = instruments(tmp_path, shipped).detectors
    assert not any(FindingKind.PHONE in detector.kinds for detector in plain)

    treatment = MaskTreatment(mode="mean", enlarge=0.1, threshold=0.5)
    masking = replace(
        shipped,
        images=replace(
            shipped.images, text=TextMaskTreatment(mask=treatment, kinds=("phone", "street_name"))
        ),
    )
    detectors = instruments(tmp_path, masking).detectors
    assert "rapidocr" in {detector.name for detector in detectors}
    require_detectors(detectors, masking.images)
