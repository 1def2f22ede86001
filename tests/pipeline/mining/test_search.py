"""Search by words in two languages and by picture: what is found, and what the answer says of its way."""

import io
import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.mining.errors import ModelError, OntologyError
from pipeline.mining.ontology import read_ontology, shipped_ontology
from pipeline.mining.search import ImageSearch, TextSearch
from pipeline.mining.sentences import SentenceModel, bundled_model
from pipeline.mining.tags import Tag
from pipeline.mining.thumbnails import data_uri, watermarked

ONTOLOGY = shipped_ontology()


def tag(name: str, confidence: float = 1.0) -> Tag:
    return Tag(name=name, source="person", confidence=confidence, by="wu")


@pytest.fixture(scope="module")
def corpus() -> dict[str, tuple[Tag, ...]]:
    """Six hundred pictures with up to five tags each, by chance."""
    rng = np.random.default_rng(4)
    every = sorted(ONTOLOGY.tags)
    made = {}
    for number in range(600):
        chosen = rng.choice(every, size=int(rng.integers(0, 6)), replace=False)
        made[f"{number:04}.jpg"] = tuple(tag(str(t), float(rng.uniform(0.5, 1))) for t in chosen)
    return made


NAMES = [(tag_name, name) for tag_name, names in ONTOLOGY.tags.items() for name in names]


@pytest.mark.parametrize(("tag_name", "name"), NAMES)
def test_every_name_of_every_tag_reads_as_that_tag(tag_name: str, name: str):
    assert ONTOLOGY.read(name) == ((tag_name,), "")
    assert ONTOLOGY.read(name.upper())[0] == (tag_name,)


def test_ten_of_ten_that_are_found_have_the_tag_in_both_languages(corpus):
    search = TextSearch(corpus, ONTOLOGY)
    for tag_name, name in NAMES:
        answer = search.find(name, 10)
        assert answer.mode == "ontology"
        assert len(answer.hits) == 10
        assert all(tag_name in {t.name for t in corpus[hit.name]} for hit in answer.hits), name


QUERIES = {
    "夜间下雨时前车急刹车": (("time_of_day:night", "weather:rain", "event:hard_brake"), "时前车"),
    "高速公路上加塞": (("region:highway", "event:cut_in"), "上"),
    "a hard brake at night in heavy rain": (
        ("event:hard_brake", "time_of_day:night", "weather:rain"),
        "a in",
    ),
    "ＣＵＴ－ＩＮ  on the HIGHWAY": (("event:cut_in", "region:highway"), "on the"),
    "training": ((), "training"),
    "紧急制动": (("event:hard_brake",), ""),
}


@pytest.mark.parametrize("query", QUERIES)
def test_the_longest_name_is_taken_and_english_ones_are_whole_words(query: str):
    assert ONTOLOGY.read(query) == QUERIES[query]


def test_several_tags_prefer_pictures_that_have_all_with_more_confidence():
    pictures = {
        "both.jpg": (tag("weather:rain", 0.8), tag("time_of_day:night", 0.9)),
        "sure.jpg": (tag("weather:rain", 1.0), tag("time_of_day:night", 1.0)),
        "one.jpg": (tag("weather:rain", 1.0),),
        "none.jpg": (tag("weather:snow", 1.0),),
    }
    answer = TextSearch(pictures, ONTOLOGY).find("rainy night", 10)
    assert [(hit.name, hit.score) for hit in answer.hits] == [
        ("sure.jpg", 1.0),
        ("both.jpg", 0.85),
        ("one.jpg", 0.5),
    ]


def test_words_outside_the_vocabulary_fall_to_likeness_and_say_so():
    pictures = {"a.jpg": (tag("region:intersection"),), "b.jpg": (tag("weather:snow"),), "c.jpg": ()}
    answer = TextSearch(pictures, ONTOLOGY).find("intersections", 5)
    assert (answer.mode, answer.tags, answer.unread) == ("tf-idf", (), "intersections")
    assert [hit.name for hit in answer.hits] == ["a.jpg"]


@pytest.mark.parametrize("query", ["qqqq", "隧道"])
def test_what_fits_nothing_finds_nothing_and_says_so(query: str):
    answer = TextSearch({"a.jpg": (tag("weather:snow"),)}, ONTOLOGY).find(query, 5)
    assert (answer.mode, answer.hits) == ("nothing", ())


def test_no_pictures_and_no_tags_are_no_error():
    assert TextSearch({}, ONTOLOGY).find("night", 3).mode == "nothing"
    assert TextSearch({"a.jpg": ()}, ONTOLOGY).find("whatever", 3).mode == "nothing"


def test_bad_questions_are_named():
    search = TextSearch({}, ONTOLOGY)
    with pytest.raises(ValueError, match="words"):
        search.find(" \t", 3)
    with pytest.raises(ValueError, match="count"):
        search.find("night", 0)
    with pytest.raises(ValueError, match="count"):
        ImageSearch({}).find(np.zeros(4, np.float32), 0)


def vectors(count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(9)
    points = rng.normal(size=(count, 32)).astype(np.float32)
    return {f"{i:05}": p / np.linalg.norm(p) for i, p in enumerate(points)}


def test_a_picture_finds_what_numpy_finds():
    points = vectors(500)
    matrix = np.stack(list(points.values()))
    search = ImageSearch(points)
    assert search.mode == "flat"
    for name in ("00003", "00250"):
        expected = np.argsort(-(matrix @ points[name]))[:7]
        hits = search.find(points[name], 7)
        assert [hit.name for hit in hits] == [f"{i:05}" for i in expected]
        assert hits[0].score == pytest.approx(1.0, abs=1e-5)


def test_many_pictures_are_searched_in_cells_and_the_nearest_is_found():
    points = vectors(3000)
    search = ImageSearch(points, flat_up_to=1000)
    assert search.mode == "ivf"
    found = [search.find(points[name], 1)[0].name == name for name in list(points)[::50]]
    assert all(found)


def test_an_empty_index_finds_nothing_and_a_small_one_all_it_has():
    assert ImageSearch({}).find(np.zeros(32, np.float32), 3) == ()
    points = vectors(2)
    assert len(ImageSearch(points).find(points["00000"], 10)) == 2


BAD = {
    "a name of two tags": (b"[snowing, snowy, snowfall, snow]", b"[rain]", "stands for"),
    "no names": (b"[snowing, snowy, snowfall, snow]", b"[]", "snow"),
    "a language": (b"snow: {zh: [\xe4\xb8\x8b\xe9\x9b\xaa", b"snow: {fr: [\xe4\xb8\x8b\xe9\x9b\xaa", "snow"),
    "a group": (b"weather:", b"Weather:", "Weather"),
    "a format": (b"fleetgate-ontology", b"ontology", "fleetgate-ontology"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_vocabulary_is_named(case: str):
    from importlib.resources import files  # noqa: PLC0415

    old, new, match = BAD[case]
    content = files("pipeline.mining").joinpath("ontology.yaml").read_bytes()
    assert old in content
    with pytest.raises(OntologyError, match=match):
        read_ontology(content.replace(old, new, 1))


def test_thumbnails_are_small_and_carry_a_mark_over_all_of_them():
    plain = io.BytesIO()
    Image.new("RGB", (1600, 900), (90, 120, 90)).save(plain, "JPEG")
    marked = watermarked(
        plain.getvalue(), principal="wu", release="rel-4c1f", now=datetime(2026, 9, 1, tzinfo=UTC)
    )
    other = watermarked(
        plain.getvalue(), principal="li", release="rel-4c1f", now=datetime(2026, 9, 1, tzinfo=UTC)
    )
    with Image.open(io.BytesIO(marked)) as picture:
        assert picture.size == (256, 144)
        assert not picture.getexif()
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    changed = np.abs(pixels - [90, 120, 90]).max(axis=2) > 40
    for rows in np.array_split(changed, 4):
        assert rows.mean() > 0.02
    assert marked != other
    assert data_uri(marked).startswith("data:image/jpeg;base64,/9j/")


MEANT = {
    "a car abruptly slammed on its brakes": "event:hard_brake",
    "wet asphalt during a downpour": "weather:rain",
}


@pytest.mark.usefixtures("alone")
def test_english_outside_the_ontology_is_read_by_meaning_and_nothing_else():
    model = bundled_model()
    assert model is not None
    tags = {f"{name}.jpg": (tag(name),) for name in set(MEANT.values()) | {"region:highway"}}
    search = TextSearch(tags, ONTOLOGY, lambda: model)
    for words, meant in MEANT.items():
        assert ONTOLOGY.read(words)[0] == ()
        answer = search.find(words, 1)
        assert (answer.mode, answer.hits[0].name) == ("minilm", f"{meant}.jpg"), answer
    assert search.find("hard brake", 1).mode == "ontology"
    assert search.find("前车猛地停住", 1).mode != "minilm"
    assert search.find("quarterly tax return of a bakery", 1).mode != "minilm"
    assert (os.environ["HF_HUB_OFFLINE"], os.environ["HF_HUB_DISABLE_TELEMETRY"]) == ("1", "1")


def test_other_weights_or_none_are_refused(tmp_path: Path):
    (tmp_path / "model.safetensors").write_bytes(b"untrained")
    with pytest.raises(ModelError, match="expected 53aa5117"):
        SentenceModel(tmp_path)
    with pytest.raises(ModelError, match="No such file"):
        SentenceModel(tmp_path / "nowhere")


def test_without_a_model_english_outside_the_ontology_is_read_by_letters_and_the_answer_says_so():
    search = TextSearch({"a.jpg": (tag("weather:rain"),)}, ONTOLOGY)
    assert search.find("rainstorm-like", 1).mode in {"tf-idf", "nothing"}
