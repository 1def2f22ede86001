"""``fleetgate label``: what commands print, and how they end."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from labelled_frames import small_set
from pipeline.commands import label_app
from pipeline.labelling.openlabel import openlabel_digest, write_openlabel


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(label_app, [str(each) for each in arguments])


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.json"
    path.write_bytes(write_openlabel(small_set()))
    return path


def test_an_ontology_is_listed():
    result = run("ontology", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["classes"]["car"]["zh"] == "小客车"
    assert "小客车 / car" in run("ontology").stdout


def test_an_ontology_that_is_wrong_is_refused_with_the_member(tmp_path: Path):
    path = tmp_path / "o.yaml"
    path.write_text("format: fleetgate-label-ontology\nname: x\nversion: 1\nclasses: {}\n", encoding="utf-8")
    result = run("ontology", "--ontology", path, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["reason"] == "label_ontology_invalid"


def test_a_label_set_is_checked(labels: Path):
    answer = json.loads(run("check", labels, "--json").stdout)
    assert (answer["frames"], answer["objects"], answer["labels"]) == (5, 3, 4)
    assert answer["classes"] == {"car": 2, "lane": 1, "truck": 1}
    assert answer["digest"] == openlabel_digest(labels.read_bytes())
    assert "right" in run("check", labels).stdout


def test_a_label_set_that_is_wrong_ends_with_one(labels: Path):
    labels.write_bytes(labels.read_bytes().replace(b'"type":"car"', b'"type":"unicorn"'))
    result = run("check", labels, "--json")
    assert result.exit_code == 1
    assert "unicorn" in json.loads(result.stdout)["detail"]
    assert run("check", labels.with_name("missing")).exit_code == 2


@pytest.fixture
def other(tmp_path: Path) -> Path:
    path = tmp_path / "other.json"
    path.write_bytes(write_openlabel(small_set().reclassified("0", "van")))
    return path


def test_two_label_sets_are_compared(labels: Path, other: Path):
    answer = json.loads(run("agree", labels, other, "--threshold", "0.5", "--json").stdout)
    assert answer["found"][0]["f1"] == 0
    assert answer["confused"] == [{"first": "car", "second": "van", "count": 2}]
    assert "kappa" in run("agree", labels, other).stdout
    assert run("agree", labels, other, "--kind", "sphere").exit_code == 2
    assert json.loads(run("agree", labels, other, "--threshold", "2", "--json").stdout)["reason"] == (
        "label_sets_incomparable"
    )


def test_annotators_are_held_against_known_frames(labels: Path, other: Path):
    result = run("honeypots", labels, f"wu={labels}", f"li={other}", "--require-f1", "0.5", "--json")
    answer = json.loads(result.stdout)
    assert result.exit_code == 1
    assert answer["failed"] == ["li"]
    assert [each["annotator"] for each in answer["annotators"]] == ["li", "wu"]
    assert run("honeypots", labels, f"wu={labels}").exit_code == 0
    assert run("honeypots", labels, "wu").exit_code == 2


def test_what_to_look_at_first_is_ranked(labels: Path, other: Path):
    answer = json.loads(run("review-queue", labels, other, "--count", "1", "--json").stdout)
    assert (answer["of"], len(answer["frames"])) == (5, 1)
    assert answer["frames"][0]["suspects"][0]["why"] == "wrong_class"
    assert "wrong_class" in run("review-queue", labels, other).stdout


def test_labels_are_imported_into_a_new_file(labels: Path, tmp_path: Path):
    out = tmp_path / "more.json"
    voc = b"""<annotation><filename>000002.png</filename><size><width>1280</width><height>720</height></size>
    <object><name>bus</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object>
    </annotation>"""
    (tmp_path / "voc").mkdir()
    (tmp_path / "voc" / "a.xml").write_bytes(voc)
    options = ("--into", labels, "--out", out, "--source", "person:li")
    answer = json.loads(run("import", "voc", tmp_path / "voc", *options, "--json").stdout)
    assert answer["imported"] == 1
    assert answer["sources"]["person:li"] == 1
    assert json.loads(run("check", out, "--json").stdout)["labels"] == 5
    again = run("import", "voc", tmp_path / "voc", *options, "--json")
    assert (again.exit_code, json.loads(again.stdout)["reason"]) == (1, "destination_unsafe")
    assert run("import", "kitti", tmp_path / "voc", *options).exit_code == 2


def test_nothing_is_written_where_an_import_is_refused(labels: Path, tmp_path: Path):
    (tmp_path / "voc").mkdir()
    (tmp_path / "voc" / "a.xml").write_text("<annotation><filename>secret.png</filename></annotation>")
    options = ("--into", labels, "--out", tmp_path / "more.json", "--source", "person:li", "--json")
    result = run("import", "voc", tmp_path / "voc", *options)
    assert result.exit_code == 1
    assert json.loads(result.stdout)["reason"] == "label_exchange_invalid"
    assert not (tmp_path / "more.json").exists()
