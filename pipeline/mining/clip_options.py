"""How commands are given a network: its weights, their digest and its name come together."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.mining.clip import ClipModel

ClipWeightsOption = Annotated[
    Path | None,
    typer.Option(
        help="Weights of a CLIP network: a file (safetensors, or a state dict of torch), or a folder of "
        "Chinese-CLIP; needs --clip-sha256 and --clip-model."
    ),
]
ClipDigestOption = Annotated[
    str | None,
    typer.Option(
        "--clip-sha256",
        help="SHA-256 of that file; of a folder, of what sha256sum prints of the files inside it, sorted by path.",
    ),
]
ClipNameOption = Annotated[
    str | None,
    typer.Option(
        "--clip-model",
        help="Which network: a name of open_clip, as ViT-B-32, with :TAG where its tags prepare pictures in "
        "different ways; or chinese-clip.",
    ),
]


def given_clip(weights: Path | None, sha256: str | None, name: str | None) -> "ClipModel | None":
    """The network that the options name; None where they name none.

    Raises:
        typer.BadParameter: Some of them are missing.
        ModelError: The weights are others, or do not fill the network.
        ModuleNotFoundError: The extra ``clip`` is not installed.
    """
    if weights is None and sha256 is None and name is None:
        return None
    if weights is None or sha256 is None or name is None:
        raise typer.BadParameter("--clip-weights, --clip-sha256 and --clip-model come together")
    from pipeline.mining.clip import load_clip  # noqa: PLC0415 - an extra

    return load_clip(weights, sha256=sha256, name=name)
