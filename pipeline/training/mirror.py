"""A copy of metrics, parameters and lineage in a local MLflow store, for those who look at runs there.

The store is a folder or a SQLite file of this machine; nothing is sent anywhere, and no picture or weights go in.
A training never depends on it: what fails here is a logged warning, and told in the report.
"""

import logging
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from pipeline.training.errors import RunError

_LOGGER: Final = logging.getLogger(__name__)
_SCHEMES: Final = ("sqlite:///", "file:///")
_ENVIRONMENT: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    # MLflow calls its own folder store deprecated and refuses it without this.
    "MLFLOW_ALLOW_FILE_STORE": "true",
}
_TAG_CHARACTERS: Final = 4000
_FORBIDDEN: Final = re.compile(r"[^\w\-. :/]")


class MlflowMirror:
    """One run in a local MLflow store; a run that goes on is the same one there."""

    def __init__(self, uri: str, *, experiment: str, run: str | None = None) -> None:
        """Name a store.

        Args:
            uri: ``sqlite:///…`` or ``file:///…``.
            experiment: What runs are filed under; it is made where it is missing.
            run: Id of the run to go on with.

        Raises:
            RunError: The store is not of this machine.
        """
        if not uri.startswith(_SCHEMES):
            raise RunError(f"MLflow store (got {uri!r}, expected {' or '.join(_SCHEMES)}: a local one)")
        self._uri, self._experiment = uri, experiment
        self.run = run
        self.failed: str | None = None
        self._client: Any = None

    def began(self, parameters: Mapping[str, Any], lineage: Mapping[str, Any]) -> None:
        """Open the run, with parameters and lineage ids."""
        self._attempt(lambda: self._open(parameters, lineage))

    def measured(self, step: int, metrics: Mapping[str, float]) -> None:
        """Metrics of an epoch."""

        def log() -> None:
            for name, value in metrics.items():
                self._client.log_metric(self.run, _FORBIDDEN.sub("_", name), float(value), step=step)

        self._attempt(log)

    def told(self, **tags: str) -> None:
        """Tags of the run, such as the id of its last checkpoint."""

        def tell() -> None:
            for name, value in tags.items():
                self._client.set_tag(self.run, f"fleetgate.{name}", value[:_TAG_CHARACTERS])

        self._attempt(tell)

    def ended(self, *, finished: bool) -> None:
        """Close the run."""
        self._attempt(lambda: self._client.set_terminated(self.run, "FINISHED" if finished else "FAILED"))

    def document(self) -> dict[str, Any]:
        """How it stands, for the report."""
        return {"store": self._uri, "run": self.run, "failed": self.failed}

    def _open(self, parameters: Mapping[str, Any], lineage: Mapping[str, Any]) -> None:
        os.environ.update(_ENVIRONMENT)
        try:
            import mlflow  # noqa: PLC0415 - of an extra, and slow to load
        except ModuleNotFoundError as error:
            raise RunError(f"{error.name} is not installed: pip install 'fleetgate[mlflow]'") from error

        store = Path(self._uri.split("://", 1)[1])
        (store if self._uri.startswith("file:") else store.parent).mkdir(parents=True, exist_ok=True)
        self._client = mlflow.MlflowClient(tracking_uri=self._uri)
        found = self._client.get_experiment_by_name(self._experiment)
        experiment = found.experiment_id if found else self._client.create_experiment(self._experiment)
        if self.run is None:
            self.run = self._client.create_run(experiment, run_name=self._experiment).info.run_id
            for name, value in parameters.items():
                self._client.log_param(self.run, _FORBIDDEN.sub("_", name), value)
        else:
            self._client.update_run(self.run, status="RUNNING")
        for name, value in lineage.items():
            told = value if isinstance(value, str) else " ".join(map(str, value))
            self._client.set_tag(self.run, f"fleetgate.{name}", told[:_TAG_CHARACTERS])

    def _attempt(self, act: Callable[[], None]) -> None:
        if self.failed is not None:
            return
        try:
            act()
        except Exception as error:  # noqa: BLE001 # a mirror that fails must not end a training
            self.failed = f"{type(error).__name__}: {error}"
            _LOGGER.warning("the MLflow mirror failed and is left: %s", self.failed)
