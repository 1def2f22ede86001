"""The networks of ``pipeline.mining.clip``: those that open_clip describes, and Chinese-CLIP of transformers.

Both are given bytes that were held to a digest; neither library sees a name that it would look up elsewhere.
"""

import io
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import torch
from PIL import Image

from pipeline.mining.clip import CHINESE_CLIP, FloatArray
from pipeline.mining.errors import ModelError, QuestionError
from pipeline.mining.offline_models import prepare_offline
from pipeline.mining.sentences import is_english

CHINESE_TOKENS: Final = 52
"""Tokens of a text, both marks included, that Chinese-CLIP was trained with: the length of its ``tokenize``."""
_TOWERS: Final = ("hf_model_name", "hf_tokenizer_name")
_PREPARING: Final = ("mean", "std", "interpolation", "resize_mode")
_MARKS: Final = frozenset({"[PAD]", "[UNK]", "[CLS]", "[SEP]"})
_READING: Final = ("do_lower_case", "strip_accents", "tokenize_chinese_chars")
_SHOWN: Final = 3

State = Mapping[str, torch.Tensor]


class OpenClipNetwork:
    """A network of open_clip that reads English by CLIP's own vocabulary."""

    def __init__(self, name: str, network: Any, prepare: Any, tokenizer: Any) -> None:
        self._name, self._network = name, network
        self._prepare, self._tokenizer = prepare, tokenizer

    def prepared(self, picture: Image.Image) -> FloatArray:
        """See ``ClipNetwork.prepared``."""
        planes: FloatArray = self._prepare(picture).numpy()
        return planes

    def of_pictures(self, planes: FloatArray) -> FloatArray:
        """See ``ClipNetwork.of_pictures``."""
        with torch.inference_mode():
            vectors: FloatArray = self._network.encode_image(torch.from_numpy(planes)).numpy()
        return vectors

    def of_text(self, text: str) -> FloatArray:
        """See ``ClipNetwork.of_text``."""
        if not is_english(text):
            raise QuestionError(
                f"text (got {text!r}, expected English: {self._name} reads no other; Chinese needs {CHINESE_CLIP})"
            )
        _require_length(len(self._tokenizer.encode(text)) + 2, self._tokenizer.context_length)
        with torch.inference_mode():
            vector: FloatArray = self._network.encode_text(self._tokenizer([text]))[0].numpy()
        return vector


class ChineseClipNetwork:
    """Chinese-CLIP as transformers has it."""

    def __init__(self, network: Any, processor: Any, tokenizer: Any, tokens: int) -> None:
        self._network, self._processor = network, processor
        self._tokenizer, self._tokens = tokenizer, tokens

    def prepared(self, picture: Image.Image) -> FloatArray:
        """See ``ClipNetwork.prepared``."""
        planes = self._processor(images=[picture], return_tensors="np")["pixel_values"][0]
        return np.asarray(planes, dtype=np.float32)

    def of_pictures(self, planes: FloatArray) -> FloatArray:
        """See ``ClipNetwork.of_pictures``."""
        with torch.inference_mode():
            found = self._network.get_image_features(pixel_values=torch.from_numpy(planes))
        vectors: FloatArray = found.pooler_output.numpy()
        return vectors

    def of_text(self, text: str) -> FloatArray:
        """See ``ClipNetwork.of_text``."""
        read = self._tokenizer([text], return_tensors="pt")
        inner = read["input_ids"][0, 1:-1]
        if bool((inner == self._tokenizer.unk_token_id).all()):
            raise QuestionError(f"text (got {text!r}, expected words of the vocabulary of {CHINESE_CLIP})")
        _require_length(len(inner) + 2, self._tokens)
        with torch.inference_mode():
            found = self._network.get_text_features(**read)
        vector: FloatArray = found.pooler_output[0].numpy()
        return vector


def open_clip_network(name: str, content: bytes, file: str) -> OpenClipNetwork:
    """Fill a network of open_clip.

    Args:
        name: One that open_clip describes; ``NAME:TAG`` prepares pictures as its weights of that tag want it.
        content: safetensors, or a state dict of torch, bare or under ``state_dict`` as open_clip's training saves.
        file: Its name: safetensors end in ``.safetensors``.

    Raises:
        ModelError: The name is unknown or leaves open how pictures are prepared, or the weights do not fill it.
    """
    prepare_offline()
    import open_clip  # type: ignore[import-untyped]  # noqa: PLC0415 - only after prepare_offline
    from open_clip.transform import PreprocessCfg, image_transform_v2  # type: ignore[import-untyped]  # noqa: PLC0415 - the same

    bare, _, tag = name.partition(":")
    config = _open_clip_config(bare)
    preparing = _preparing(bare, tag, quick_gelu=bool(config.get("quick_gelu", False)))
    state = _state(content, file)
    custom = config.pop("custom_text", False)
    kind = open_clip.CLIP
    if custom:
        kind = open_clip.CoCa if "multimodal_cfg" in config else open_clip.CustomTextCLIP
    if "timm_model_name" in config["vision_cfg"]:
        config["vision_cfg"]["timm_model_pretrained"] = False
    network = kind(**config)
    _require_whole(file, network.state_dict(), state)
    network.load_state_dict(state, strict=True)
    size = network.visual.image_size
    prepare = image_transform_v2(PreprocessCfg(size=size, **preparing), is_train=False)
    return OpenClipNetwork(name, network.train(mode=False), prepare, open_clip.get_tokenizer(bare))


def chinese_clip(files: Mapping[str, bytes]) -> ChineseClipNetwork:
    """Fill a Chinese-CLIP from the files of its folder.

    Raises:
        ModelError: One is missing or malformed, or the weights do not fill it.
    """
    prepare_offline()
    from transformers import (  # noqa: PLC0415 - only after prepare_offline
        BertTokenizer,
        ChineseCLIPConfig,
        ChineseCLIPModel,
    )
    from transformers.models.chinese_clip.image_processing_pil_chinese_clip import (  # noqa: PLC0415 - the same
        ChineseCLIPImageProcessorPil,
    )

    stated = _document(files, "config.json")
    if stated.get("model_type") != "chinese_clip":
        raise ModelError(
            f"config.json (got model_type {stated.get('model_type')!r}, expected 'chinese_clip')"
        )
    weights = "model.safetensors" if "model.safetensors" in files else "pytorch_model.bin"
    state = _state(_file(files, weights), weights)
    reading = _document(files, "tokenizer_config.json") if "tokenizer_config.json" in files else {}
    vocabulary = _vocabulary(_file(files, "vocab.txt"))
    library: Any = ChineseCLIPModel  # its types leave out what the options below return
    try:
        config = ChineseCLIPConfig.from_dict(stated)
        processor = ChineseCLIPImageProcessorPil.from_dict(_document(files, "preprocessor_config.json"))
        tokenizer = BertTokenizer(vocab=vocabulary, **{k: reading[k] for k in _READING if k in reading})
        network, told = library.from_pretrained(
            None, config=config, state_dict=dict(state), dtype=torch.float32, local_files_only=True,
            ignore_mismatched_sizes=True, output_loading_info=True,
        )  # fmt: skip
    except Exception as error:  # whatever transformers makes of a configuration that is none
        raise ModelError(f"{CHINESE_CLIP} cannot be built of this folder: {error}") from error
    mismatched = [each[0] for each in told["mismatched_keys"]]
    _refuse_parts(weights, told["missing_keys"], told["unexpected_keys"], mismatched)
    text: Any = config.text_config
    if len(vocabulary) > text.vocab_size:
        raise ModelError(f"vocab.txt (got {len(vocabulary)} words, expected at most {text.vocab_size})")
    tokens = min(CHINESE_TOKENS, text.max_position_embeddings)
    return ChineseClipNetwork(network.train(mode=False), processor, tokenizer, tokens)


def _open_clip_config(name: str) -> dict[str, Any]:
    import open_clip  # noqa: PLC0415 - only after prepare_offline

    config = open_clip.get_model_config(name) if name in open_clip.list_models() else None
    if config is None:
        raise ModelError(
            f"network (got {name!r}, expected {CHINESE_CLIP!r} or a name of open_clip, as ViT-B-32)"
        )
    if any(each in config["text_cfg"] for each in _TOWERS) or "siglip" in name.lower():
        raise ModelError(
            f"network (got {name!r}, expected one that reads by CLIP's own vocabulary: its is not here)"
        )
    found: dict[str, Any] = config
    return found


def _preparing(name: str, tag: str, *, quick_gelu: bool) -> dict[str, Any]:
    """How pictures are prepared for weights of a name: as open_clip says of the tag, or of all of its tags."""
    from open_clip import get_pretrained_cfg, list_pretrained_tags_by_model  # noqa: PLC0415 - the same

    said = {each: get_pretrained_cfg(name, each) for each in list_pretrained_tags_by_model(name)}
    fitting = {
        each: {part: cfg[part] for part in _PREPARING if cfg.get(part) is not None}
        for each, cfg in said.items()
        if bool(cfg.get("quick_gelu", False)) is quick_gelu
    }
    if tag:
        if tag not in fitting:
            raise ModelError(f"network (got tag {tag!r} of {name}, expected one of {sorted(fitting)})")
        return fitting[tag]
    ways = list(fitting.values())
    if any(way != ways[0] for way in ways):
        raise ModelError(
            f"network (got {name!r}, expected {name}:TAG with one of {sorted(fitting)}: they prepare pictures in "
            "different ways)"
        )
    return ways[0] if ways else {}


def _state(content: bytes, file: str) -> State:
    """The tensors of a file of weights, by name; code in it is not run."""
    from safetensors.torch import load  # noqa: PLC0415 - an extra

    try:
        if file.endswith(".safetensors"):
            held: Any = load(content)
        else:
            held = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    except Exception as error:  # whatever the libraries make of bytes that are no weights
        raise ModelError(f"{file} holds no weights that can be read safely: {error}") from error
    if isinstance(held, dict) and isinstance(held.get("state_dict"), dict):
        held = held["state_dict"]
    if not isinstance(held, dict) or not held or not all(isinstance(v, torch.Tensor) for v in held.values()):
        raise ModelError(f"{file} (got {type(held).__name__}, expected a state dict of tensors)")
    spread = all(str(each).startswith("module.") for each in held)
    return {str(each).removeprefix("module.") if spread else str(each): held[each] for each in held}


def _require_whole(file: str, wanted: State, got: State) -> None:
    shaped = [each for each in wanted if each in got and wanted[each].shape != got[each].shape]
    _refuse_parts(file, wanted.keys() - got.keys(), got.keys() - wanted.keys(), shaped)


def _refuse_parts(file: str, unfilled: Iterable[str], unknown: Iterable[str], shaped: Iterable[str]) -> None:
    parts = {"unfilled": unfilled, "unknown": unknown, "of another shape": shaped}
    wrong = [
        f"{len(named)} {how} as {named[:_SHOWN]}" for how, each in parts.items() if (named := sorted(each))
    ]
    if wrong:
        raise ModelError(f"{file} is not of this network (got parameters {', '.join(wrong)}, expected none)")


def _file(files: Mapping[str, bytes], name: str) -> bytes:
    if name not in files:
        raise ModelError(f"folder of {CHINESE_CLIP} (got {sorted(files)}, expected {name} too)")
    return files[name]


def _document(files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    try:
        read = json.loads(_file(files, name))
    except ValueError as error:
        raise ModelError(f"{name}: {error}") from error
    if not isinstance(read, dict):
        raise ModelError(f"{name} (got {type(read).__name__}, expected an object)")
    return read


def _vocabulary(content: bytes) -> dict[str, int]:
    """Words by number; a word may hold any line separator but the line feed."""
    try:
        words = content.decode().removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise ModelError(f"vocab.txt: {error}") from error
    found = {word.removesuffix("\r"): number for number, word in enumerate(words)}
    if missing := sorted(_MARKS - found.keys()):
        raise ModelError(f"vocab.txt (got no {missing}, expected them)")
    return found


def _require_length(tokens: int, most: int) -> None:
    if tokens > most:
        raise QuestionError(f"text (got {tokens} tokens, expected at most {most}: the rest would not count)")
