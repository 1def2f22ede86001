import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

pytest.importorskip("rapidocr_onnxruntime", reason="the extra ocr is not installed")

from anonymize.errors import ModelError
from anonymize.finding import FindingKind
from anonymize.media import street_text
from anonymize.media.detection import Look
from anonymize.media.street_text import StreetTextDetector, kind_of


@pytest.fixture(scope="module")
def reader():
    return StreetTextDetector()


def board(*lines: tuple[int, int, str], size=(480, 240), px=30) -> np.ndarray:
    image = Image.new("RGB", size, (40, 90, 160))
    draw = ImageDraw.Draw(image)
    for x, y, text in lines:
        draw.text((x, y), text, fill="white", font=ImageFont.load_default(px))
    return np.asarray(image)


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("13812345678", FindingKind.PHONE),
        ("电话 138 1234 5678", FindingKind.PHONE),
        ("Tel: 010-62345678", FindingKind.PHONE),
        ("+49 30 1234567", FindingKind.PHONE),
        ("中山北路", FindingKind.STREET_NAME),
        ("世纪大道", FindingKind.STREET_NAME),
        ("中山路12号", FindingKind.ADDRESS),
        ("Hauptstrasse", FindingKind.STREET_NAME),
        ("Hauptstraße 12", FindingKind.ADDRESS),
        ("Rue de Rivoli", FindingKind.STREET_NAME),
        ("Baker Street", FindingKind.STREET_NAME),
        ("221 Baker Street", FindingKind.ADDRESS),
        ("BakerStreet", FindingKind.STREET_NAME),
        ("OPEN", FindingKind.TEXT),
        ("BEST COFFEE", FindingKind.TEXT),
        ("SALE 50", FindingKind.TEXT),
        ("停车场", FindingKind.TEXT),
    ],
)
def test_words_are_told_apart(words, kind):
    assert kind_of(words) is kind


@pytest.mark.parametrize("look", list(Look))
def test_drawn_lines_are_found_where_they_are(reader, look):
    image = board((20, 20, "Baker Street"), (20, 90, "13812345678"), (20, 160, "WELCOME"))
    found = reader.detect(image, threshold=0.5, look=look)
    assert {f.kind for f in found} == {FindingKind.STREET_NAME, FindingKind.PHONE, FindingKind.TEXT}
    for finding, top in zip(sorted(found, key=lambda f: f.where.y0), (20, 90, 160), strict=True):
        box = finding.where
        assert top - 8 <= box.y0 <= top + 12
        assert top + 18 <= box.y1 <= top + 48
        assert box.x0 <= 26
        ink = (image[top : top + 40] > 200).all(axis=2)
        columns = np.nonzero(ink.any(axis=0))[0]
        assert box.x0 - 6 <= columns.min()
        assert columns.max() <= box.x1 + 6


def test_findings_carry_no_words(reader):
    image = board((20, 90, "13812345678"))
    (finding,) = reader.detect(image, threshold=0.5)
    assert "1381" not in repr(finding)
    assert finding.label == ""
    assert finding.detector == f"rapidocr@{reader.digest[:12]}"


def test_thresholds_batches_and_empty_scenes(reader):
    image, empty = board((20, 90, "WELCOME")), board()
    assert reader.detect(image, threshold=1.0) == ()
    batch = reader.detect_batch([image, empty], threshold=0.5)
    assert [len(found) for found in batch] == [1, 0]


def test_text_far_apart_in_a_large_image_is_found(reader):
    image = board((30, 30, "WELCOME"), (1350, 560, "13812345678"), size=(1600, 640))
    kinds = {f.kind for f in reader.detect(image, threshold=0.5)}
    assert kinds == {FindingKind.TEXT, FindingKind.PHONE}


def test_another_model_file_is_refused(monkeypatch):
    name = next(iter(street_text._MODELS))
    monkeypatch.setitem(street_text._MODELS, name, "0" * 64)
    with pytest.raises(ModelError, match="wrong digest"):
        StreetTextDetector()


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setattr(street_text, "_PACKAGE", "no_such_package")
    with pytest.raises(ModelError, match="extra 'ocr'"):
        StreetTextDetector()


def test_opencv_is_loaded_only_when_text_is_read():
    code = (
        "import sys, anonymize.media.street_text\n"
        "sys.exit('cv2' in sys.modules or 'rapidocr_onnxruntime' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603 - own code
