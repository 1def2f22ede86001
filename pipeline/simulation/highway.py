"""The cut-in in highway-env: the automated vehicle follows by that package's IDM, the scenario leads the other.

That IDM counts gaps from middle to middle, with the standstill gap lengthened by a vehicle, and sees who is within
a metre of its lane: it brakes later than the equations of ``car_following`` do. What highway-env is not told of
(``NEIGHBOURS``) must have its default.
"""

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Final

from pipeline.simulation.backend import Floats, Outcomes, Parameter
from pipeline.simulation.cut_in import PARAMETERS
from pipeline.simulation.errors import BackEndError
from pipeline.simulation.highway_worker import run_rows
from pipeline.simulation.in_workers import Workers
from pipeline.simulation.scripted import NEIGHBOURS, checked_rows, outcomes_of

LONGEST_STEP_S: Final = 0.5


class HighwayEnv:
    """The cut-in in highway-env as a back end."""

    def __init__(self, step_s: float = 0.1, workers: int | None = None) -> None:
        """Bind the simulator.

        Raises:
            BackEndError: highway-env is not installed, or the step is none.
        """
        if find_spec("highway_env") is None:
            raise BackEndError("highway_env is not installed (install fleetgate[sim])")
        if not 0.0 < step_s <= LONGEST_STEP_S:
            raise BackEndError(f"step (got {step_s} s, expected more than 0 and at most {LONGEST_STEP_S} s)")
        try:
            self._version = version("highway-env")
        except PackageNotFoundError as error:
            raise BackEndError(
                "highway_env is installed without its metadata (install fleetgate[sim])"
            ) from error
        self._step = step_s
        self._workers = Workers("highway-env", run_rows, workers)

    @property
    def digest(self) -> str:
        """Name, version of the scene, of highway-env, step."""
        return f"highway-env/1;highway-env={self._version};step={self._step!r}"

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Those of the cut-in: one scenario file runs on every simulator."""
        return PARAMETERS

    def run(self, values: Floats) -> Outcomes:
        """Run each row of ``PARAMETERS``.

        Raises:
            BackEndError: A value is no number, outside what its parameter admits, or nothing to highway-env; or it
                failed.
        """
        rows = checked_rows(values, NEIGHBOURS, "highway-env")
        return outcomes_of(self._workers.run(rows, self._step))
