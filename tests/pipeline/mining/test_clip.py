"""CLIP and Chinese-CLIP by weights that a user gives: what they find, and which weights are refused."""

import io
import os
import pickle
import shutil
import subprocess
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from joserfc.jwk import OKPKey
from safetensors.torch import load_file, save, save_file

from clip_colours import (
    CHINESE,
    COLOURS,
    MARKS,
    NAME,
    SIDE,
    Weights,
    chinese_clip_colours,
    coloured,
    folder_digest,
    library_readers,
    open_clip_colours,
)
from pipeline.client import GatewayClient
from pipeline.mining.clip import ClipIdentity, ClipModel, held_weights, load_clip
from pipeline.mining.clip_vectors import BATCH, asked_vector, clip_vectors
from pipeline.mining.errors import IndexFileError, ModelError, QuestionError
from pipeline.mining.picture_index import joined, open_index, write_index
from training_releases import PURPOSE, TwoReleases

pytestmark = pytest.mark.timeout(900)  # importing both libraries takes a minute on a busy machine


@pytest.fixture(scope="module")
def english(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    return open_clip_colours(tmp_path_factory.mktemp("english"))


@pytest.fixture(scope="module")
def chinese(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    return chinese_clip_colours(tmp_path_factory.mktemp("chinese"))


def loaded(weights: Weights) -> ClipModel:
    return load_clip(weights.path, sha256=weights.sha256, name=weights.name)


def given(path: Path, content: bytes, name: str = NAME) -> Weights:
    """Weights with these bytes, and the digest of them."""
    path.write_bytes(content)
    return Weights(path=path, sha256=sha256(content).hexdigest(), name=name)


def seen(model: ClipModel) -> np.ndarray:
    """Vectors of twenty pictures that no network was trained with, five of each colour in turn."""
    return model.pictures([model.prepared(coloured(c, seed)) for c in COLOURS for seed in range(5)])


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("language", ["english", "chinese"])
def test_a_word_finds_the_pictures_of_its_colour(language: str, request: pytest.FixtureRequest):
    model = loaded(request.getfixturevalue(language))
    vectors = seen(model)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)
    for number, colour in enumerate(COLOURS):
        word = model.text(colour if language == "english" else CHINESE[colour])
        nearest = np.argsort(-(vectors @ word))[:5]
        assert set(nearest.tolist()) == set(range(5 * number, 5 * number + 5)), colour


def test_vectors_are_those_that_open_clip_itself_computes(english: Weights):
    import open_clip  # noqa: PLC0415 - after clip_colours prepared it

    network, _, prepare = open_clip.create_model_and_transforms(NAME, pretrained=str(english.path))
    network.eval()
    picture = coloured("green", 3, size=(200, 90))
    with torch.inference_mode():
        direct = network.encode_image(prepare(picture)[None], normalize=True)[0].numpy()
        words = network.encode_text(open_clip.get_tokenizer(NAME)(["a green car"]), normalize=True)[0].numpy()
    model = loaded(english)
    assert model.picture(picture) == pytest.approx(direct, abs=1e-5)
    assert model.text("a green car") == pytest.approx(words, abs=1e-5)


def test_vectors_are_those_that_transformers_itself_computes(chinese: Weights):
    from transformers import ChineseCLIPModel  # noqa: PLC0415 - after clip_colours prepared it

    processor, tokenizer = library_readers(chinese.path)
    network = ChineseCLIPModel.from_pretrained(chinese.path).eval()
    picture = coloured("yellow", 4, size=(90, 200))
    with torch.inference_mode():
        both = network(
            **tokenizer(["黄色的车"], return_tensors="pt"), **processor([picture], return_tensors="pt")
        )
    model = loaded(chinese)
    assert model.picture(picture) == pytest.approx(both.image_embeds[0].numpy(), abs=1e-5)
    assert model.text("黄色的车") == pytest.approx(both.text_embeds[0].numpy(), abs=1e-5)


def test_a_state_dict_of_torch_loads_as_training_saves_it(english: Weights, tmp_path: Path):
    state = {f"module.{name}": tensor for name, tensor in load_file(english.path).items()}
    saved = io.BytesIO()
    torch.save({"epoch": 3, "name": NAME, "state_dict": state}, saved)
    other = loaded(given(tmp_path / "epoch_3.pt", saved.getvalue()))
    assert np.array_equal(seen(other), seen(loaded(english)))


def test_a_checkpoint_of_older_transformers_loads_with_its_position_numbers(chinese: Weights, tmp_path: Path):
    folder = tmp_path / "older"
    shutil.copytree(chinese.path, folder)
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    state["text_model.embeddings.position_ids"] = torch.arange(16)[None]
    state["vision_model.embeddings.position_ids"] = torch.arange((SIDE // 16) ** 2 + 1)[None]
    torch.save(state, folder / "pytorch_model.bin")
    other = load_clip(folder, sha256=folder_digest(folder), name="chinese-clip")
    assert np.array_equal(seen(other), seen(loaded(chinese)))


class Code:
    """What a pickle can do to who reads it: here it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.folder),)


def test_other_weights_are_refused_before_anything_parses_them(
    english: Weights, chinese: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def parse(*_: object, **__: object) -> None:
        raise AssertionError("parsed")

    monkeypatch.setattr("pipeline.mining.clip_networks._state", parse)
    monkeypatch.setattr("pipeline.mining.clip_networks._document", parse)
    altered = bytearray(english.path.read_bytes())
    altered[-1] ^= 1
    (tmp_path / "altered.safetensors").write_bytes(altered)
    with pytest.raises(ModelError, match=f"expected {english.sha256}"):
        load_clip(tmp_path / "altered.safetensors", sha256=english.sha256, name=NAME)
    shutil.copytree(chinese.path, tmp_path / "folder")
    (tmp_path / "folder" / "vocab.txt").write_text("\n".join(reversed(list("红绿蓝黄"))))
    with pytest.raises(ModelError, match=f"expected {chinese.sha256}"):
        load_clip(tmp_path / "folder", sha256=chinese.sha256, name="chinese-clip")
    with pytest.raises(ModelError, match="No such file"):
        load_clip(tmp_path / "nowhere", sha256=english.sha256, name=NAME)


def test_the_digest_of_a_folder_is_what_sha256sum_prints(chinese: Weights):
    listing = "LC_ALL=C find . -type f -printf '%P\\n' | LC_ALL=C sort | xargs -d '\\n' sha256sum | sha256sum"
    told = subprocess.run(  # noqa: S603 - this very line on the folder of the fixture
        ["sh", "-c", listing],  # noqa: S607 - the shell as it is found
        cwd=chinese.path,
        capture_output=True,
        text=True,
        check=True,
    )
    digest = told.stdout.split()[0]
    assert digest == chinese.sha256
    held = held_weights(chinese.path, digest)
    assert "README.md" not in held
    assert held["vocab.txt"] == (chinese.path / "vocab.txt").read_bytes()


def spoilt(state: dict[str, torch.Tensor], how: str, name: str) -> dict[str, torch.Tensor]:
    changed = dict(state)
    if how == "unfilled":
        del changed[name]
    elif how == "unknown":
        changed["of.another.network"] = torch.zeros(3)
    else:
        changed[name] = changed[name][:-1].contiguous()
    return changed


@pytest.mark.parametrize("how", ["unfilled", "unknown", "of another shape"])
def test_weights_that_do_not_fill_the_network_are_refused(
    english: Weights, chinese: Weights, tmp_path: Path, how: str
):
    state = load_file(english.path)
    bad = given(tmp_path / "bad.safetensors", save(spoilt(state, how, "token_embedding.weight")))
    named = "of.another.network" if how == "unknown" else "token_embedding.weight"
    with pytest.raises(ModelError, match=f"1 {how} as .*{named}"):
        loaded(bad)

    folder = tmp_path / "bad"
    shutil.copytree(chinese.path, folder)
    state = load_file(folder / "model.safetensors")
    save_file(spoilt(state, how, "text_projection.weight"), folder / "model.safetensors")
    named = "of.another.network" if how == "unknown" else "text_projection.weight"
    with pytest.raises(ModelError, match=f"1 {how} as .*{named}"):
        load_clip(folder, sha256=folder_digest(folder), name="chinese-clip")


def scripted(_: Path) -> bytes:
    saved = io.BytesIO()
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), saved)
    return saved.getvalue()


def torch_saved(held: object) -> bytes:
    saved = io.BytesIO()
    torch.save(held, saved)
    return saved.getvalue()


NO_WEIGHTS = {
    "code in a pickle": (lambda made: pickle.dumps(Code(made), protocol=2), "read safely"),
    "code in a file of torch": (lambda made: torch_saved({"a": Code(made)}), "read safely"),
    "a script of torch": (scripted, "read safely"),
    "noise": (lambda _: b"untrained", "read safely"),
    "nothing": (lambda _: torch_saved({}), "expected a state dict"),
    "no tensors": (lambda _: torch_saved({"state_dict": {"a": 1}}), "expected a state dict"),
}


@pytest.mark.parametrize("case", NO_WEIGHTS)
def test_what_holds_no_weights_is_refused_and_code_is_not_run(case: str, english: Weights, tmp_path: Path):
    make, match = NO_WEIGHTS[case]
    assert english.name == NAME  # is known to open_clip
    with pytest.raises(ModelError, match=match):
        loaded(given(tmp_path / "bad.pt", make(tmp_path / "made")))
    assert not (tmp_path / "made").exists()


def test_weights_that_are_not_finite_do_not_answer(english: Weights, tmp_path: Path):
    state = load_file(english.path)
    state["visual.proj"][0, 0] = float("nan")
    model = loaded(given(tmp_path / "nan.safetensors", save(state)))
    with pytest.raises(ModelError, match="expected a direction"):
        model.picture(coloured("red", 1))


NAMES = {
    "ViT-B-33": "expected 'chinese-clip' or a name of open_clip",
    "hf-hub:laion/CLIP-ViT-B-32": "a name of open_clip",
    "local-dir:/tmp": "a name of open_clip",
    "xlm-roberta-base-ViT-B-32": "own vocabulary",
    "ViT-B-16-SigLIP": "own vocabulary",
    "ViT-L-14": "ViT-L-14:TAG with one of .*laion2b_s32b_b82k",
    "ViT-L-14:nobody": "tag 'nobody'",
    "ViT-B-32:openai": "tag 'openai'",  # its activation is that of ViT-B-32-quickgelu
    "chinese-clip": "expected a folder",
}


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("name", NAMES)
def test_a_network_that_is_not_known_is_named(name: str, english: Weights):
    with pytest.raises(ModelError, match=NAMES[name]):
        load_clip(english.path, sha256=english.sha256, name=name)


def test_a_tag_says_how_pictures_are_prepared(english: Weights):
    from pipeline.mining.clip_networks import _preparing  # noqa: PLC0415 - imports torch

    assert _preparing("ViT-L-14", "laion2b_s32b_b82k", quick_gelu=False)["mean"] == (0.5, 0.5, 0.5)
    assert _preparing("ViT-L-14", "datacomp_xl_s13b_b90k", quick_gelu=False)["mean"][0] == 0.48145466
    assert _preparing("ViT-B-32", "", quick_gelu=False)["std"][0] == 0.26862954
    assert _preparing(english.name, "", quick_gelu=False) == {}


FOLDERS = {
    "no vocabulary": ("vocab.txt", None, "expected vocab.txt too"),
    "no configuration": ("config.json", None, "expected config.json too"),
    "no weights": ("model.safetensors", None, "expected pytorch_model.bin too"),
    "another kind": ("config.json", '{"model_type": "clip"}', "expected 'chinese_clip'"),
    "no object": ("config.json", "[]", "expected an object"),
    "no marks": ("vocab.txt", "红\n绿\n", "CLS"),
    "too many words": ("vocab.txt", "\n".join([*MARKS, *map(str, range(99))]), "words"),
    "no way to prepare": ("preprocessor_config.json", "{", "preprocessor_config.json"),
}  # fmt: skip


@pytest.mark.parametrize("case", FOLDERS)
def test_a_folder_that_is_not_whole_is_told(case: str, chinese: Weights, tmp_path: Path):
    name, content, match = FOLDERS[case]
    folder = tmp_path / "folder"
    shutil.copytree(chinese.path, folder)
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(content, "utf-8")
    with pytest.raises(ModelError, match=match):
        load_clip(folder, sha256=folder_digest(folder), name="chinese-clip")


def test_a_folder_is_no_weights_of_open_clip(chinese: Weights):
    with pytest.raises(ModelError, match="expected a file"):
        load_clip(chinese.path, sha256=chinese.sha256, name="ViT-B-32")


QUESTIONS = {
    "chinese of an english network": ("english", "红色", "Chinese needs chinese-clip"),
    "more than an english network reads": ("english", "red " * 11, "got 13 tokens, expected at most 12"),
    "words that chinese-clip does not know": ("chinese", "🚗", "vocabulary of chinese-clip"),
    "more than chinese-clip reads": ("chinese", "红" * 15, "got 17 tokens, expected at most 16"),
    "nothing": ("english", " \t", "expected words"),
}


@pytest.mark.parametrize("case", QUESTIONS)
def test_what_a_network_cannot_read_is_refused(case: str, request: pytest.FixtureRequest):
    language, text, match = QUESTIONS[case]
    model = loaded(request.getfixturevalue(language))
    with pytest.raises(QuestionError, match=match):
        asked_vector(model, text, None)


def png(colour: str, seed: int) -> bytes:
    out = io.BytesIO()
    coloured(colour, seed).save(out, "PNG")
    return out.getvalue()


CONTENTS = {
    "rel-a": {f"image/{colour}-{n}.png": png(colour, n) for colour in COLOURS for n in range(5)},
    "rel-b": {f"image/{colour}-b.png": png(colour, 77) for colour in COLOURS},
}


@pytest.fixture
def two(peer: Any, release_key: OKPKey, relay: Any) -> TwoReleases:
    made = TwoReleases(peer, release_key, CONTENTS)
    relay[0].app = made.app
    return made


@pytest.fixture
def client(
    two: TwoReleases, relay: Any, principal_key: OKPKey, release_key: OKPKey
) -> Iterator[GatewayClient]:
    assert relay[0].app is two.app
    with GatewayClient(
        relay[1], key=principal_key, principal="engineer-1", purpose=PURPOSE, release_key=release_key
    ) as client:
        yield client


class Kept(dict[str, bytes]):
    """Keeps values, as a sealed cache does."""

    put = dict.__setitem__


def test_vectors_of_a_release_are_kept_and_need_no_picture_again(
    two: TwoReleases, client: GatewayClient, english: Weights, chinese: Weights
):
    model, kept = loaded(english), Kept()
    assert len(CONTENTS["rel-a"]) > BATCH
    first = clip_vectors(client, "rel-a", model, kept=kept)
    assert first.keys() == CONTENTS["rel-a"].keys()
    direct = model.picture(coloured("blue", 4))
    assert first["image/blue-4.png"] == pytest.approx(direct, abs=1e-5)
    read = len(two.asked)
    again = clip_vectors(client, "rel-a", model, kept=kept)
    assert len(two.asked) == read
    assert all(np.array_equal(again[name], vector) for name, vector in first.items())
    clip_vectors(client, "rel-a", loaded(chinese), kept=kept)
    assert len(two.asked) == read + len(first)


def test_an_index_finds_by_words_and_states_its_network_and_no_other_searches_it(
    two: TwoReleases, client: GatewayClient, english: Weights, chinese: Weights, tmp_path: Path
):
    path, model = tmp_path / "colours.index", loaded(english)
    vectors = {
        joined(release, name): vector
        for release in CONTENTS
        for name, vector in clip_vectors(client, release, model).items()
    }
    manifests = [client.manifest(release) for release in CONTENTS]
    artefact, _ = write_index(path, "colours", manifests, vectors, client, clip=model.identity)

    parameters = two.artefacts[artefact]["generated_by"]["parameters"]
    assert parameters["clip"] == {"name": NAME, "sha256": english.sha256}
    assert parameters["look"] is None
    opened = open_index(path, client, clip=model.identity)
    found = opened.search.find(model.text("blue"), 6)
    assert all("blue" in hit.name for hit in found)

    other = ClipIdentity(name="chinese-clip", sha256=chinese.sha256)
    for asked in (other, ClipIdentity(name=NAME, sha256="0" * 64)):
        match = (
            f"got vectors of {NAME} sha256 {english.sha256}, expected of {asked.name} sha256 {asked.sha256}"
        )
        with pytest.raises(IndexFileError, match=match):
            open_index(path, client, clip=asked)
    with pytest.raises(IndexFileError, match=f"got vectors of {NAME} .*, expected of looks 1"):
        open_index(path, client)
    looks = tmp_path / "looks.index"
    artefact, _ = write_index(looks, "looks", manifests, vectors, client)
    assert "clip" not in two.artefacts[artefact]["generated_by"]["parameters"]
    with pytest.raises(IndexFileError, match=f"got vectors of looks 1, expected of {NAME}"):
        open_index(looks, client, clip=model.identity)
