from dataclasses import replace

import pytest

from anonymize.errors import ModelError
from anonymize.finding import FindingKind, TreatmentKind
from anonymize.media.mask_evidence import mask_treatments
from anonymize.profile import MaskTreatment, shipped_profile

SHIPPED = shipped_profile("cn-2026").profile.images


def test_evidence_tells_what_each_mask_left_and_leaves_out_what_was_not_masked():
    cells = MaskTreatment(mode="pixelate", enlarge=0.2, threshold=0.3, cells=2)
    told = mask_treatments({FindingKind.PLATE: 4, FindingKind.LIMIT_SIGN: 1}, replace(SHIPPED, plate=cells))
    assert [(t.of, t.kind, t.count) for t in told] == [
        (FindingKind.LIMIT_SIGN, TreatmentKind.MASK_MEAN, 1),
        (FindingKind.PLATE, TreatmentKind.MASK_PIXELATE, 4),
    ]
    assert told[0].parameters == {"enlarge": 0.05, "threshold": 0.45, "region": "figure"}
    assert told[1].parameters == {"enlarge": 0.2, "threshold": 0.3, "cells": 2}


def test_consent_to_blur_and_a_missing_replacement_are_told():
    blur = MaskTreatment(mode="blur", enlarge=0.2, threshold=0.3, blur_share=1.0, accept_inversion_risk=True)
    (told,) = mask_treatments({FindingKind.FACE: 1}, replace(SHIPPED, face=blur))
    assert told.parameters["accept_inversion_risk"] is True
    absent = MaskTreatment(mode="replace", enlarge=0.2, threshold=0.3)
    with pytest.raises(ModelError):
        mask_treatments({FindingKind.FACE: 1}, replace(SHIPPED, face=absent))
