"""What must be so before a library of sentence or picture models is imported: no network, no telemetry."""

import os
from typing import Final

from pipeline.torchvision_operators import restore_torchvision_nms

_ENVIRONMENT: Final = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}


def prepare_offline() -> None:
    """Shut the hub of Hugging Face out of this process, and make torchvision importable beside a CPU torch.

    These settings are read when the libraries are imported: call it before. The models are given local files only
    besides, so that a process in which they were imported earlier downloads nothing either.
    """
    os.environ.update(_ENVIRONMENT)
    restore_torchvision_nms()
