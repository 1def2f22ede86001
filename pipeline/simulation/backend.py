"""What a simulator offers, and what it answers."""

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

MAX_TTC_S: Final = 100.0
"""Time to collision where nothing closes in; a finite value lets sensitivities be taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A physical quantity that a simulator takes, with the value it has where a scenario says nothing."""

    name: str
    unit: str
    default: float | None
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """Figures of merit of n runs, one array each.

    Attributes:
        min_gap: Least distance from bumper to bumper while both are in one lane, m; 0 for a collision.
        min_ttc: Least time to collision while both are in one lane, s; at most ``MAX_TTC_S``, 0 for a collision.
        impact_speed: Closing speed of the collision, m/s; 0 where there is none.
    """

    min_gap: Floats
    min_ttc: Floats
    impact_speed: Floats

    @property
    def collision(self) -> Flags:
        """Whether the two met."""
        return np.asarray(self.min_gap <= 0.0)


class BackEnd(Protocol):
    """A simulator: physical values in, figures of merit out.

    ``digest`` names the simulator and whatever its answers depend on, so that stored answers of another are
    never taken for its own. Answers depend on the row alone: same row, same answer.
    """

    @property
    def digest(self) -> str:
        """Identity of the simulator with its settings."""
        ...

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """What a column of the table means, in order."""
        ...

    def run(self, values: Floats) -> Outcomes:
        """Run each row.

        Raises:
            BackEndError: The simulator failed.
        """
        ...
