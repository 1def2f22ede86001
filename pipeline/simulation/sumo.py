"""The cut-in in SUMO: the automated vehicle follows by SUMO's IDM, the other is led by the scenario.

libsumo is one simulation per process, so it runs in processes of its own (``sumo_worker``). What SUMO is not told
of (``NEIGHBOURS``) must have its default.
"""

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Final

from pipeline.simulation.backend import Floats, Outcomes, Parameter
from pipeline.simulation.cut_in import PARAMETERS
from pipeline.simulation.errors import BackEndError
from pipeline.simulation.in_workers import Workers
from pipeline.simulation.scripted import NEIGHBOURS, checked_rows, outcomes_of
from pipeline.simulation.sumo_worker import run_rows

LONGEST_STEP_S: Final = 0.5


class Sumo:
    """The cut-in in SUMO as a back end."""

    def __init__(self, step_s: float = 0.1, workers: int | None = None) -> None:
        """Bind the simulator.

        Raises:
            BackEndError: libsumo is not installed, or the step is none.
        """
        if find_spec("libsumo") is None:
            raise BackEndError("libsumo is not installed (install fleetgate[sumo])")
        if not 0.0 < step_s <= LONGEST_STEP_S:
            raise BackEndError(f"step (got {step_s} s, expected more than 0 and at most {LONGEST_STEP_S} s)")
        try:
            self._version = version("libsumo")
        except PackageNotFoundError as error:
            raise BackEndError(
                "libsumo is installed without its metadata (install fleetgate[sumo])"
            ) from error
        self._step = step_s
        self._workers = Workers("sumo", run_rows, workers)

    @property
    def digest(self) -> str:
        """Name, version of the scene, of SUMO, step."""
        return f"sumo/1;libsumo={self._version};step={self._step!r}"

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Those of the cut-in: one scenario file runs on every simulator."""
        return PARAMETERS

    def run(self, values: Floats) -> Outcomes:
        """Run each row of ``PARAMETERS``.

        Raises:
            BackEndError: A value is no number, outside what its parameter admits or nothing to SUMO, or it failed.
        """
        return outcomes_of(self._workers.run(checked_rows(values, NEIGHBOURS, "sumo"), self._step))
