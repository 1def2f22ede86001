"""A detector that several sites train: what one site does in a round, on its own sealed pictures.

Importing this module imports ultralytics, taken offline.
"""

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import torch

from pipeline.federated.flower_peer import Arrays
from pipeline.training import detector
from pipeline.training.detector_run import DetectorOptions, split_pictures
from pipeline.training.errors import DetectorError
from pipeline.training.sealed_pictures import SealedPictures
from pipeline.training.timeline import Timeline

SETTINGS: Final[Mapping[str, float | str]] = {"optimizer": "SGD", "warmup_epochs": 0.0, "lrf": 1.0}
"""What a round takes where nothing else is asked: ultralytics begins its schedule anew in each, so none is warmed
up and the rate stays."""

Measured = Callable[[int, int, Mapping[str, float]], None]
"""Learns the round, how many epochs of it are done, and the metrics."""


def model_digest(network: Mapping[str, Any], classes: tuple[str, ...]) -> str:
    """SHA-256 of a network and its classes in order: server and sites must mean the same by an array."""
    said = {name: value for name, value in network.items() if name != "yaml_file"}
    return sha256(
        json.dumps({"network": said, "classes": list(classes)}, sort_keys=True, default=str).encode()
    ).hexdigest()


def first_weights(model: str, classes: tuple[str, ...], seed: int) -> tuple[tuple[str, ...], Arrays, str]:
    """Names and arrays of the weights that a network is built with, and the digest of the model.

    Args:
        model: YAML file of a network, or the name of one that ultralytics ships.
        classes: What it tells apart, in the order of the sites' training manifests.
        seed: Same seed, same weights.

    Raises:
        DetectorError: There is no such network.
    """
    network = detector.read_network(model)
    torch.manual_seed(seed)
    built = detector.build_network(network, len(classes))
    names = float_names(built)
    state = built.state_dict()
    return names, [state[name].numpy().copy() for name in names], model_digest(network, classes)


def float_names(model: torch.nn.Module) -> tuple[str, ...]:
    """Entries of a network that are floating-point numbers, in order; counters are each site's own."""
    return tuple(name for name, value in model.state_dict().items() if value.is_floating_point())


class DetectorRounds:
    """Rounds of one site."""

    def __init__(
        self,
        pictures: SealedPictures,
        options: DetectorOptions,
        folder: Path,
        measured: Measured = lambda *_: None,
    ) -> None:
        """Prepare a site's rounds; nothing is trained yet.

        Args:
            pictures: Of its training manifest; they stay open while rounds are trained.
            options: What each round is asked: ``epochs`` are those of one round.
            folder: Where each round keeps its figures; no picture and no weights.
            measured: Learns of each epoch.

        Raises:
            DetectorError: Network, split or batch cannot be used.
        """
        if options.model is None:
            raise DetectorError("model (got none, expected the network that the server began with)")
        self._pictures, self._options, self._folder, self._measured = pictures, options, folder, measured
        self._network = detector.read_network(options.model)
        self._train, self._validate = split_pictures(pictures.manifest.samples, options)
        if not self._train or not self._validate:
            raise DetectorError(
                f"split (got {len(self._train)} pictures to train on, {len(self._validate)} to measure on, "
                "expected at least 1 of both)"
            )
        self.model = model_digest(self._network, pictures.manifest.classes)

    def train(self, weights: Arrays, number: int) -> tuple[Arrays, int]:
        """Train a round from the given weights; the new ones, and on how many pictures.

        Raises:
            DetectorError: The weights are not of this network, or a picture does not decode.
            ReleaseEndedError: The gate refuses a release in the middle.
            LeaseError: The gate cannot answer.
            DivergedError: The loss is no number any more.
        """
        options, kept = self._options, {}
        folder = self._folder / f"round-{number:04}"

        def save(state: dict[str, Any], _best: bool) -> None:  # noqa: FBT001 - told by the trainer
            kept["state"] = state["model"]

        job = detector.Job(
            folder=folder,
            pictures=self._pictures,
            train=self._train,
            validate=self._validate,
            network=self._network,
            weights=None,
            state=None,
            settings={**SETTINGS, **options.trainer_settings},
            seed=options.seed + number,
            workers=options.workers,
            device=options.device,
            rank=0,
            world=1,
            timeline=Timeline(path=None, world=1),
            save=save,
            measured=lambda epoch, metrics: self._measured(number, epoch + 1, metrics),
        )
        trainer = _RoundTrainer(job, weights)
        trainer.train()
        state = kept["state"]
        return [state[name].cpu().numpy().copy() for name in trainer.names], len(self._train)


class _RoundTrainer(detector.SealedDetection):
    """A training that begins with weights that came from elsewhere."""

    def __init__(self, job: detector.Job, weights: Arrays) -> None:
        super().__init__(job)
        self.names: tuple[str, ...] = ()
        self._came = weights

    def setup_model(self) -> None:
        """Build the network and put the weights in.

        Raises:
            DetectorError: They are not of this network.
        """
        super().setup_model()
        state = self.model.state_dict()
        self.names = float_names(self.model)
        if len(self.names) != len(self._came):
            raise DetectorError(f"weights (got {len(self._came)} arrays, expected {len(self.names)})")
        for name, array in zip(self.names, self._came, strict=True):
            if tuple(array.shape) != tuple(state[name].shape):
                raise DetectorError(
                    f"weights {name} (got {array.shape}, expected {tuple(state[name].shape)})"
                )
            state[name] = torch.from_numpy(array.copy()).to(state[name].dtype)
        self.model.load_state_dict(state)
