"""Readers of label formats, on sets that the test writes and on the real ones."""

import json

import pytest
from PIL import Image

from anonymize.errors import MalformedItemError
from anonymize.finding import FindingKind
from anonymize.media.labelled import FORMATS, open_labelled

VOC = """<annotation><filename>x.png</filename><size><width>60</width><height>40</height><depth>3</depth></size>
{}</annotation>"""
VOC_OBJECT = """<object><name>{}</name><difficult>{}</difficult><bndbox><xmin>1.5</xmin><ymin>2</ymin><xmax>20
</xmax><ymax>30.25</ymax></bndbox></object>"""
DLIB = """<?xml version='1.0'?><dataset><name>n</name><images><image file='a.png'>
<box top='2' left='1' width='19' height='28'/><box top='0' left='0' width='5' height='6' ignore='1'/></image>
</images></dataset>"""
EASYPR = """<tagset><image><imageName>a</imageName><taggedRectangles>
<taggedRectangle x="30" y="20" width="20" height="10" rotation="{}" locateType="1">x</taggedRectangle>
</taggedRectangles></image></tagset>"""


def picture(path, size=(60, 40)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 120, 60)).save(path)


def boxes_of(opened):
    (image,) = opened.images
    return [(b.kind, tuple(round(v, 3) for v in b.box), b.ignore) for b in image.boxes]


FACE, PLATE = FindingKind.FACE, FindingKind.PLATE


@pytest.mark.parametrize("layout", [("annots", "images"), ("Annotations", "JPEGImages"), (".", ".")])
def test_voc(tmp_path, layout):
    labels, pictures = (tmp_path / part for part in layout)
    picture(pictures / "a.mp4#t=1.png")
    labels.mkdir(exist_ok=True)
    things = VOC_OBJECT.format("Face", 0) + VOC_OBJECT.format("license-plate", 1)
    (labels / "a.mp4#t=1.xml").write_text(VOC.format(things))
    opened = open_labelled(tmp_path, "voc")
    box = (1.5, 2.0, 20.0, 30.25)
    assert boxes_of(opened) == [(FACE, box, False), (PLATE, box, True)]
    assert opened.images[0].size == (60, 40)


def test_dlib(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "training.xml").write_text(DLIB)
    opened = open_labelled(tmp_path, "dlib", complete=True, name="four faces")
    assert boxes_of(opened) == [(FACE, (1, 2, 20, 30), False), (FACE, (0, 0, 5, 6), True)]
    assert (opened.name, opened.complete) == ("four faces", True)


@pytest.mark.parametrize(
    ("turn", "box"), [(0, (20, 15, 40, 25)), (90, (25, 10, 35, 30)), (-30, (18.84, 10.67, 41.16, 29.33))]
)
def test_easypr_tags_are_centres_of_rotated_rectangles(tmp_path, turn, box):
    picture(tmp_path / "a.jpg")
    (tmp_path / "GroundTruth.xml").write_text(EASYPR.format(turn))
    ((kind, found, _),) = boxes_of(open_labelled(tmp_path, "easypr"))
    assert (kind, found) == (PLATE, pytest.approx(box, abs=0.01))


def test_ccpd_names_carry_the_box(tmp_path):
    picture(tmp_path / "02-90_85-17&4_45&14-45&14_17&14_17&4_45&4-0_0_6_26-32-68-53.jpg")
    assert boxes_of(open_labelled(tmp_path, "ccpd")) == [(PLATE, (17, 4, 45, 14), False)]


def test_openalpr_lines(tmp_path):
    picture(tmp_path / "car 1.jpg")
    (tmp_path / "car 1.txt").write_text("car 1.jpg\t3\t6\t15\t7\t627WWI\ncar 1.jpg\t30\t6\t10\t7\tABC\n")
    assert boxes_of(open_labelled(tmp_path, "openalpr")) == [
        (PLATE, (3, 6, 18, 13), False),
        (PLATE, (30, 6, 40, 13), False),
    ]


@pytest.mark.parametrize("names", ["[Face, plate]", "{0: Face, 1: plate}"])
def test_yolo(tmp_path, names):
    picture(tmp_path / "images" / "val" / "a.png")
    picture(tmp_path / "images" / "val" / "background.png")
    (tmp_path / "labels" / "val").mkdir(parents=True)
    (tmp_path / "labels" / "val" / "a.txt").write_text("1 0.5 0.5 0.2 0.1\n")
    (tmp_path / "data.yaml").write_text(f"names: {names}\n")
    first, second = open_labelled(tmp_path, "yolo").images
    assert [(b.kind, b.box) for b in first.boxes] == [(PLATE, pytest.approx((24, 18, 36, 22)))]
    assert (second.name, second.boxes) == ("images/val/background.png", ())


def test_coco(tmp_path):
    picture(tmp_path / "images" / "a.png")
    document = {
        "images": [{"id": 7, "file_name": "a.png", "width": 60, "height": 40}],
        "categories": [{"id": 3, "name": "face"}],
        "annotations": [
            {"image_id": 7, "category_id": 3, "bbox": [1, 2, 3, 4]},
            {"image_id": 7, "category_id": 3, "bbox": [10, 2, 30, 4], "iscrowd": 1},
        ],
    }
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances.json").write_text(json.dumps(document))
    assert boxes_of(open_labelled(tmp_path, "coco")) == [
        (FACE, (1, 2, 4, 6), False),
        (FACE, (10, 2, 40, 6), True),
    ]
    assert open_labelled(tmp_path / "annotations" / "instances.json", "coco").images[0].size == (60, 40)


def voc(folder, name):
    picture(folder / "a.png")
    (folder / "a.xml").write_text(VOC.format(VOC_OBJECT.format(name, 0)))


def test_class_names_that_nobody_mapped_are_refused(tmp_path):
    voc(tmp_path, "Nummernschild")
    with pytest.raises(MalformedItemError, match=r"not mapped to a kind \(got 'Nummernschild'\)"):
        open_labelled(tmp_path, "voc")
    assert boxes_of(open_labelled(tmp_path, "voc", classes={"Nummernschild": "plate"}))[0][0] is PLATE
    kind, _, ignore = boxes_of(open_labelled(tmp_path, "voc", classes={"nummernschild": "ignore"}))[0]
    assert (kind, ignore) == (None, True)
    with pytest.raises(MalformedItemError, match="got 'number', expected 'ignore' or a finding kind"):
        open_labelled(tmp_path, "voc", classes={"Nummernschild": "number"})


def test_labelled_pictures_that_are_not_there_are_counted(tmp_path):
    voc(tmp_path, "face")
    (tmp_path / "b.xml").write_text(VOC.format(VOC_OBJECT.format("face", 0)))
    opened = open_labelled(tmp_path, "voc")
    assert ([i.name for i in opened.images], opened.absent) == (["a.png"], ("b.jpg",))


@pytest.mark.parametrize(
    ("label_format", "file", "content"),
    [
        ("voc", "a.xml", "<annotation><object>"),
        ("voc", "a.xml", VOC.format("<object><name>face</name></object>")),
        ("voc", "a.xml", VOC.format(VOC_OBJECT.format("face", 0)).replace("1.5", "inf")),
        ("voc", "a.xml", VOC.format(VOC_OBJECT.format("face", 0)).replace("1.5", "20")),
        ("voc", "a.xml", '<!DOCTYPE a [<!ENTITY x "y">]><annotation>&x;</annotation>'),
        ("dlib", "a.xml", DLIB.replace("width='19'", "")),
        ("easypr", "a.xml", EASYPR.format("steep")),
        ("openalpr", "a.txt", "a.png\t1\t2\t3\n"),
        ("yolo", "data.yaml", "nc: 1\n"),
        ("coco", "a.json", '{"images": []}'),
        ("coco", "a.json", "{"),
        ("voc", "a.txt", "nothing labelled"),
        ("tfrecord", "a.txt", "no such format"),
    ],
)
def test_malformed_labels_stop_the_evaluation(tmp_path, label_format, file, content):
    picture(tmp_path / "a.png")
    picture(tmp_path / "a.jpg")
    picture(tmp_path / "images" / "a.png")
    (tmp_path / file).write_text(content)
    with pytest.raises(MalformedItemError):
        open_labelled(tmp_path, label_format)


def test_a_ccpd_name_without_a_box_is_refused(tmp_path):
    picture(tmp_path / "a.jpg")
    with pytest.raises(MalformedItemError, match=r"labels of a\.jpg"):
        open_labelled(tmp_path, "ccpd")


def test_a_picture_labelled_twice_is_refused(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "one.xml").write_text(DLIB)
    (tmp_path / "two.xml").write_text(DLIB)
    with pytest.raises(MalformedItemError, match="labelled twice"):
        open_labelled(tmp_path, "dlib")


@pytest.mark.parametrize(
    ("folder", "label_format", "images", "objects"),
    [
        ("faces_maskon", "voc", 273, 1522),
        ("faces_dlib", "dlib", 4, 18),
        ("plates_cn_ccpd", "ccpd", 2, 2),
        ("plates_cn_easypr", "easypr", 63, 64),
        ("plates_openalpr_us", "openalpr", 40, 40),
        ("plates_eu_dashcam", "voc", 18, 22),
    ],
)
def test_real_sets(shared_data, folder, label_format, images, objects):
    opened = open_labelled(shared_data / "media" / folder, label_format)
    assert (len(opened.images), sum(len(i.boxes) for i in opened.images)) == (images, objects)
    assert opened.absent == ()
    assert label_format in FORMATS
