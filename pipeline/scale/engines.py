"""Batch work as a command's options ask for it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import RefusedError
from pipeline.mining.run import Connecting

if TYPE_CHECKING:
    from pipeline.scale.batch import Engine
    from pipeline.scale.job import ItemFunction
    from pipeline.scale.outputs import OutputFolder


class EngineKind(StrEnum):
    """What runs batch work."""

    POOL = "pool"
    RAY = "ray"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What a command's options say of batch work.

    Attributes:
        connecting: The connection.
        cache: Folder of sealed copies of items, or none.
        outputs_folder: Folder of sealed outputs.
        engine: Who does the work.
        workers: How many; by default one less than processors.
        address: Of a cluster of Ray that runs; None to start one.
    """

    connecting: Connecting
    cache: Path | None
    outputs_folder: Path
    engine: EngineKind
    workers: int | None
    address: str | None

    def outputs(
        self, release: str, function: "ItemFunction", progress: Callable[[int, int], None]
    ) -> "OutputFolder":
        """Run a function over the items of a release; the outputs, all of them there.

        Raises:
            ModuleNotFoundError: Ray is asked for and the extra ``scale`` is not installed.
            PipelineError: As ``run_batch``.
        """
        # The functions of mining are an extra, and loading them is slow.
        from pipeline.scale.batch import run_batch  # noqa: PLC0415
        from pipeline.scale.job import Job  # noqa: PLC0415

        job = Job(
            connecting=self.connecting,
            release=release,
            outputs=self.outputs_folder,
            cache=self.cache,
            function=function,
        )
        return run_batch(job, self._engine(), progress=progress).outputs

    def refused(self, release: str, error: RefusedError) -> None:
        """Wipe the outputs of a release of which the gate said that it is over.

        Raises:
            OutputsError: They cannot be removed.
        """
        from pipeline.scale.outputs import release_is_over, wipe_outputs  # noqa: PLC0415

        if release_is_over(error):
            wipe_outputs(self.outputs_folder, release)

    def _engine(self) -> "Engine":
        from pipeline.scale.pool import ProcessPool, default_workers  # noqa: PLC0415
        from pipeline.scale.ray_data import RayData  # noqa: PLC0415

        workers = self.workers or default_workers()
        if self.engine is EngineKind.POOL:
            return ProcessPool(workers=workers)
        return RayData(workers=workers, address=self.address)
