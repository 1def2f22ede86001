"""Small networks that were really trained: they know four colours by their English or Chinese names, nothing else.

Their weights are files as the libraries save them; loading them is the code under test.
"""

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.mining.offline_models import prepare_offline

prepare_offline()

import open_clip  # noqa: E402 - only after prepare_offline
import torch  # noqa: E402 - the same
from safetensors.torch import save_file  # noqa: E402 - the same
from transformers import ChineseCLIPConfig, ChineseCLIPModel  # noqa: E402 - the same

NAME = "colours"
SIDE = 32
COLOURS = {
    "red": (200, 40, 40),
    "green": (40, 180, 60),
    "blue": (50, 60, 200),
    "yellow": (220, 210, 50),
}
CHINESE = {"red": "红色", "green": "绿色", "blue": "蓝色", "yellow": "黄色"}
MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
VOCABULARY = (*MARKS, *dict.fromkeys("".join(CHINESE.values()) + "的车图片"))
STEPS = 150


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """What a user has: a path, its digest, a name."""

    path: Path
    sha256: str
    name: str

    @property
    def options(self) -> tuple[str, ...]:
        """On the command line."""
        return (
            *("--clip-weights", str(self.path)),
            *("--clip-sha256", self.sha256),
            *("--clip-model", self.name),
        )


def coloured(colour: str, seed: int, size: tuple[int, int] = (96, 64)) -> Image.Image:
    """A picture of a colour: a shade of it by chance, with noise."""
    rng = np.random.default_rng(seed)
    shade = np.array(COLOURS[colour]) + rng.integers(-20, 21, 3)
    pixels = shade + rng.normal(0, 12, (size[1], size[0], 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def train(network: torch.nn.Module, see: Any, read: Any) -> None:
    """Until the four names go with pictures of their colours (the contrastive loss of CLIP), without dropout."""
    network.eval()
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-3)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for step in range(STEPS):
        pictures = [coloured(colour, 10_000 + step) for colour in COLOURS]
        seen, names = (torch.nn.functional.normalize(each, dim=-1) for each in (see(pictures), read()))
        likeness = 10 * seen @ names.T
        right = torch.arange(len(COLOURS))
        loss = torch.nn.functional.cross_entropy(likeness, right)
        loss = loss + torch.nn.functional.cross_entropy(likeness.T, right)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    torch.set_num_threads(threads)


def describe_to_open_clip(folder: Path) -> None:
    """Register the small network with open_clip, by a file as its own are."""
    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": SIDE, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
        "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
    (folder / f"{NAME}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder / f"{NAME}.json")


def open_clip_colours(folder: Path) -> Weights:
    """A network of open_clip that knows the English names, as safetensors."""
    describe_to_open_clip(folder)
    torch.manual_seed(1)
    network, _, prepare = open_clip.create_model_and_transforms(NAME)
    read = open_clip.get_tokenizer(NAME)(list(COLOURS))
    train(
        network,
        lambda pictures: network.encode_image(torch.stack([prepare(each) for each in pictures])),
        lambda: network.encode_text(read),
    )
    path = folder / "colours.safetensors"
    save_file({name: held.contiguous() for name, held in network.state_dict().items()}, path)
    return Weights(path=path, sha256=sha256(path.read_bytes()).hexdigest(), name=NAME)


def chinese_clip_colours(folder: Path) -> Weights:
    """A Chinese-CLIP that knows the Chinese names, as a folder that transformers reads."""
    torch.manual_seed(2)
    tower = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**tower, "vocab_size": len(VOCABULARY), "max_position_embeddings": 16, "initializer_range": 0.3}
    config = ChineseCLIPConfig(
        text_config=text,
        vision_config={**tower, "image_size": SIDE, "patch_size": 16},
        projection_dim=16,
    )
    network = ChineseCLIPModel(config)
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in VOCABULARY), "utf-8")
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"do_center_crop": False, "size": {"height": SIDE, "width": SIDE}})
    )
    processor, tokenizer = library_readers(folder)
    read = tokenizer(list(CHINESE.values()), return_tensors="pt")
    train(
        network,
        lambda pictures: network.get_image_features(**processor(pictures, return_tensors="pt")).pooler_output,
        lambda: network.get_text_features(**read).pooler_output,
    )
    network.save_pretrained(folder)
    (folder / "README.md").write_text("four colours\n")
    return Weights(path=folder, sha256=folder_digest(folder), name="chinese-clip")


def library_readers(folder: Path) -> tuple[Any, Any]:
    """What transformers itself reads pictures and texts with."""
    from transformers import BertTokenizer  # noqa: PLC0415 - after prepare_offline
    from transformers.models.chinese_clip.image_processing_pil_chinese_clip import (  # noqa: PLC0415 - the same
        ChineseCLIPImageProcessorPil,
    )

    return ChineseCLIPImageProcessorPil.from_pretrained(folder), BertTokenizer.from_pretrained(folder)


def folder_digest(folder: Path) -> str:
    """The digest of a flat folder's listing, as sha256sum prints it."""
    lines = [f"{sha256(p.read_bytes()).hexdigest()}  {p.name}\n" for p in sorted(folder.iterdir())]
    return sha256("".join(lines).encode()).hexdigest()
