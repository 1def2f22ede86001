"""Mean average precision by scenario, held against another implementation, and the gate between two detectors."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import supervision
from click.testing import Result
from supervision.metrics import MeanAveragePrecision
from typer.testing import CliRunner

from gateway.cli import app
from pipeline.training.detection_evaluation import (
    LEAST_PICTURES,
    Detection,
    by_tag,
    compare_detectors,
    detections_line,
    mean_precision,
    read_detections,
    read_tags,
    score,
)
from pipeline.training.errors import PredictionFileError
from pipeline.training.evaluation import Verdict
from pipeline.training.labels import Box, PictureLabels, read_coco

CLASSES = ("car", "行人")
WIDTH, HEIGHT = 200, 100


def labelled(rng: np.random.Generator, count: int) -> list[PictureLabels]:
    return [
        PictureLabels(
            width=WIDTH,
            height=HEIGHT,
            boxes=tuple(
                Box(label=CLASSES[int(k)], x=float(x), y=float(y), width=40.0, height=30.0)
                for k, x, y in zip(
                    rng.integers(0, 2, n), rng.uniform(0, 150, n), rng.uniform(0, 60, n), strict=True
                )
            ),
        )
        for n in rng.integers(0, 5, count)
    ]


def found(
    rng: np.random.Generator, labels: list[PictureLabels], *, shift: float, missed: float
) -> list[list[Detection]]:
    """The labels moved by so many pixels, some of them missed, and boxes where there is nothing."""
    pictures = []
    for each in labels:
        boxes = [
            Detection(
                label=b.label,
                x=b.x + rng.normal(0, shift),
                y=b.y + rng.normal(0, shift),
                width=b.width,
                height=b.height,
                score=float(rng.uniform(0.3, 1)),
            )
            for b in each.boxes
            if rng.uniform() > missed
        ]
        boxes += [
            Detection(
                label=CLASSES[n % 2],
                x=10.0 * n,
                y=50.0,
                width=20,
                height=20,
                score=float(rng.uniform(0, 0.6)),
            )
            for n in range(2)
        ]
        pictures.append(boxes)
    return pictures


def as_supervision(boxes: Any, *, scored: bool) -> supervision.Detections:
    corners = np.array([(b.x, b.y, b.x + b.width, b.y + b.height) for b in boxes], dtype=np.float32).reshape(
        -1, 4
    )
    return supervision.Detections(
        xyxy=corners,
        class_id=np.array([CLASSES.index(b.label) for b in boxes], dtype=int),
        confidence=np.array([b.score for b in boxes], dtype=np.float32) if scored else None,
    )


def test_mean_average_precision_is_that_of_another_implementation():
    rng = np.random.default_rng(5)
    labels = labelled(rng, 40)
    boxes = found(rng, labels, shift=3.0, missed=0.2)
    ours = mean_precision(score(labels, boxes))
    theirs = MeanAveragePrecision().update(
        [as_supervision(each, scored=True) for each in boxes],
        [as_supervision(each.boxes, scored=False) for each in labels],
    )
    assert ours is not None
    result = theirs.compute()
    assert ours.mean() == pytest.approx(float(result.map50_95), abs=0.005)
    assert ours[0] == pytest.approx(float(result.map50), abs=0.005)


def test_weights_are_the_same_as_pictures_that_come_more_than_once():
    rng = np.random.default_rng(6)
    labels = labelled(rng, 12)
    boxes = found(rng, labels, shift=2.0, missed=0.1)
    drawn = rng.integers(0, 12, 12)
    weighted = mean_precision(score(labels, boxes), np.bincount(drawn, minlength=12).astype(float))
    repeated = mean_precision(score([labels[n] for n in drawn], [boxes[n] for n in drawn]))
    assert weighted == pytest.approx(repeated, abs=1e-9)


def test_perfect_and_empty_answers_and_scenarios_without_boxes():
    labels = labelled(np.random.default_rng(7), 10)
    perfect = [
        [
            Detection(label=b.label, x=b.x, y=b.y, width=b.width, height=b.height, score=0.9)
            for b in each.boxes
        ]
        for each in labels
    ]
    names = [str(n) for n in range(10)]
    empty = next(n for n, each in enumerate(labels) if not each.boxes)
    rows = {row.tag: row for row in by_tag(names, score(labels, perfect), {str(empty): ("void",)})}
    assert (rows["all"].map50_95, rows["all"].pictures) == (1.0, 10)
    assert (rows["void"].map50_95, rows["void"].pictures) == (None, 1)
    assert by_tag(names, score(labels, [[] for _ in labels]), {})[0].map50_95 == 0.0


def test_a_loss_at_night_is_found_where_the_whole_does_not_show_it_and_few_pictures_decide_nothing():
    rng = np.random.default_rng(8)
    labels = labelled(rng, 120)
    names = [str(n) for n in range(120)]
    night = set(names[:30])
    tags = dict.fromkeys(night, ("night",)) | {names[-1]: ("rain",)}
    old = found(rng, labels, shift=1.0, missed=0.05)
    worse = found(rng, labels, shift=1.0, missed=0.6)
    new = [worse[n] if name in night else old[n] for n, name in enumerate(names)]
    rows = {
        row.tag: row
        for row in compare_detectors(names, score(labels, old), score(labels, new), tags, resamples=100)
    }
    assert rows["night"].verdict is Verdict.REGRESSED
    assert rows["night"].high < 0
    assert rows["rain"].verdict is Verdict.UNDECIDED
    assert rows["rain"].pictures < LEAST_PICTURES
    same = compare_detectors(names, score(labels, old), score(labels, old), tags, resamples=100)
    assert {row.tag: row.verdict for row in same if row.tag != "rain"} == {
        "all": Verdict.HELD,
        "night": Verdict.HELD,
    }


def coco(labels: list[PictureLabels]) -> bytes:
    boxes = [(n, box) for n, each in enumerate(labels) for box in each.boxes]
    return json.dumps(
        {
            "categories": [{"id": n, "name": name} for n, name in enumerate(CLASSES)],
            "images": [
                {"id": n, "file_name": f"rel-a/{n}.png", "width": WIDTH, "height": HEIGHT}
                for n in range(len(labels))
            ],
            "annotations": [
                {
                    "id": k,
                    "image_id": n,
                    "category_id": CLASSES.index(b.label),
                    "bbox": [b.x, b.y, b.width, b.height],
                }
                for k, (n, b) in enumerate(boxes)
            ],
        }
    ).encode()


def lines(boxes: list[list[Detection]]) -> bytes:
    return "\n".join(detections_line(f"{n}.png", "rel-a", each) for n, each in enumerate(boxes)).encode()


@pytest.fixture
def compared(tmp_path: Path) -> Callable[..., Result]:
    rng = np.random.default_rng(9)
    labels = labelled(rng, 60)
    (tmp_path / "coco.json").write_bytes(coco(labels))
    (tmp_path / "old.jsonl").write_bytes(lines(found(rng, labels, shift=1.0, missed=0.05)))
    (tmp_path / "new.jsonl").write_bytes(lines(found(rng, labels, shift=1.0, missed=0.7)))
    (tmp_path / "fewer.jsonl").write_bytes(lines(found(rng, labels[:-1], shift=1.0, missed=0.7)))
    tags = [{"sample": f"rel-a/{n}.png", "tags": ["night"]} for n in range(25)]
    (tmp_path / "tags.jsonl").write_text("\n".join(map(json.dumps, tags)))

    def run(before: str, after: str, *options: str) -> Result:
        files = [str(tmp_path / f"{name}") for name in ("coco.json", f"{before}.jsonl", f"{after}.jsonl")]
        tagged = ("--tags", str(tmp_path / "tags.jsonl"), "--resamples", "100")
        return CliRunner().invoke(app, ["train", "compare-detectors", *files, *tagged, *options])

    return run


def test_a_regression_fails_the_build_and_names_the_scenario(compared: Callable[..., Result]):
    assert compared("old", "old", "--require-held").exit_code == 0
    failed = compared("old", "new", "--json")
    assert failed.exit_code == 1
    assert json.loads(failed.stdout)["failed"] == ["all", "night"]
    assert "变差 / regressed" in compared("old", "new").stdout
    assert compared("new", "old").exit_code == 0
    other = compared("old", "fewer", "--json")
    assert json.loads(other.stdout)["reason"] == "prediction_file_invalid"
    assert compared("old", "old", "--confidence", "2").exit_code == 2


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ({"sample": "9.png", "release": "rel-a", "boxes": []}, "sample .got '9.png'"),
        ({"sample": "0.png", "boxes": []}, "sample .got '0.png'"),
        ({"sample": "rel-a/0.png"}, "KeyError: 'boxes'"),
        ({"sample": "rel-a/0.png", "boxes": [{"class": "car"}]}, "KeyError: 'x'"),
        (
            {
                "sample": "rel-a/0.png",
                "boxes": [{"class": "bus", "x": 1, "y": 1, "width": 1, "height": 1, "score": 1}],
            },
            "classes .got .'bus'.",
        ),
        (
            {
                "sample": "rel-a/0.png",
                "boxes": [{"class": "car", "x": float("nan"), "y": 1, "width": 1, "height": 1, "score": 1}],
            },
            "not of numbers",
        ),
    ],
)
def test_predictions_that_do_not_fit_are_refused(line: dict[str, Any], named: str):
    labels = read_coco(coco(labelled(np.random.default_rng(1), 3)))
    with pytest.raises(PredictionFileError, match=named):
        read_detections(json.dumps(line).encode(), labels)


def test_tags_that_do_not_fit_are_refused():
    for entry, named in (
        ({"sample": "a", "tags": ["all"]}, "other than 'all'"),
        ({"sample": "b", "tags": []}, "sample .got 'b'"),
        ({"sample": "a", "tags": "night"}, "expected texts"),
    ):
        with pytest.raises(PredictionFileError, match=named):
            read_tags(json.dumps(entry).encode(), {"a": None})
