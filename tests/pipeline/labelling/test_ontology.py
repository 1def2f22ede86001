"""Ontologies of labels: what comes with Fleetgate, and what is refused with the member that is wrong."""

from typing import Any

import pytest
import yaml

from pipeline.labelling.errors import LabelOntologyError
from pipeline.labelling.ontology import GeometryKind, read_label_ontology, shipped_label_ontology


def document(**changes: Any) -> bytes:
    made = {
        "format": "fleetgate-label-ontology",
        "name": "small",
        "version": 3,
        "attributes": {
            "colour": {
                "zh": "颜色",
                "en": "colour",
                "type": "choice",
                "values": {"red": {"zh": "红", "en": "red"}},
            },
            "speed": {"zh": "速度", "en": "speed", "type": "number", "minimum": 0, "maximum": 60},
        },
        "classes": {
            "car": {"zh": "车", "en": "car", "geometry": ["bbox"], "attributes": ["colour", "speed"]}
        },
    }
    return yaml.safe_dump(made | changes, allow_unicode=True).encode()


def test_the_shipped_ontology_is_valid_and_names_everything_in_both_languages():
    found = shipped_label_ontology()
    assert (found.name, found.version) == ("driving", 1)
    assert all(each.zh and each.en and each.geometry for each in found.classes.values())
    assert GeometryKind.CUBOID in found.class_of("truck").geometry


def test_a_file_is_read_with_its_digest():
    found = read_label_ontology(document())
    assert found.version == 3
    assert len(found.digest) == 64
    assert found.checked("car", GeometryKind.BBOX, {"speed": 3, "colour": "red"}) == {
        "colour": "red",
        "speed": 3.0,
    }


CAR = {"zh": "车", "en": "car", "geometry": ["bbox"]}
WRONG = {
    "no class": ({"classes": {}}, "classes"),
    "unknown geometry": ({"classes": {"car": CAR | {"geometry": ["sphere"]}}}, "sphere"),
    "no Chinese name": ({"classes": {"car": {"en": "car", "geometry": ["bbox"]}}}, "zh"),
    "undeclared attribute": ({"classes": {"car": CAR | {"attributes": ["mood"]}}}, "mood"),
    "choice without values": (
        {"attributes": {"a": {"zh": "a", "en": "a", "type": "choice"}}},
        "attributes.a.values",
    ),
    "limits of a text": (
        {"attributes": {"a": {"zh": "a", "en": "a", "type": "text", "minimum": 1}}},
        '"minimum": 1',
    ),
    "limits crossed": (
        {"attributes": {"a": {"zh": "a", "en": "a", "type": "number", "minimum": 2, "maximum": 1}}},
        "minimum 2",
    ),
    "version zero": ({"version": 0}, "version"),
    "another format": ({"format": "fleetgate-ontology"}, "fleetgate-label-ontology"),
    "NaN": ({"attributes": {"a": {"zh": "a", "en": "a", "type": "number", "minimum": float("nan")}}}, "nan"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named(case: str):
    changes, said = WRONG[case]
    with pytest.raises(LabelOntologyError, match=said):
        read_label_ontology(document(**changes))


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"mood": 1}, "mood"),
        ({"colour": "blue"}, "'blue'"),
        ({"speed": 61}, "61"),
        ({"speed": float("nan")}, "nan"),
        ({"speed": True}, "True"),
    ],
)
def test_values_that_an_attribute_does_not_take_are_refused(attributes: dict[str, Any], said: str):
    with pytest.raises(LabelOntologyError, match=said):
        read_label_ontology(document()).checked("car", GeometryKind.BBOX, attributes)


def test_unknown_classes_and_kinds_are_refused():
    ontology = read_label_ontology(document())
    with pytest.raises(LabelOntologyError, match="'lorry'"):
        ontology.class_of("lorry")
    with pytest.raises(LabelOntologyError, match="'polygon'"):
        ontology.checked("car", GeometryKind.POLYGON, {})
