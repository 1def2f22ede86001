"""The intelligent driver model and MOBIL, as compiled functions of one vehicle at one instant.

Sources: Treiber, Hennecke, Helbing, Phys. Rev. E 62 (2000) 1805; Kesting, Treiber, Helbing, TRR 1999 (2007) 86.
"""

import math
from typing import Any

import numba

from pipeline.simulation.backend import Floats


def compiled(function: Any) -> Any:
    """Compile to machine code; kept beside the module so that it is done once."""
    return numba.njit(cache=True, fastmath=False)(function)


@compiled
def idm_acceleration(
    speed: float,
    desired: float,
    gap: float,
    closing: float,
    driver: Floats,
) -> float:
    """Acceleration that the driver wants, m/s².

    ``driver`` holds time headway (s), standstill gap (m), greatest acceleration and comfortable braking (m/s²).
    An infinite gap is a free road. A gap of nothing asks for the strongest braking.
    """
    headway: float = driver[0]
    standstill: float = driver[1]
    strongest: float = driver[2]
    comfortable: float = driver[3]
    ratio = speed / desired if desired > 0.0 else 1.0
    free = strongest * (1.0 - ratio * ratio * ratio * ratio)
    if math.isinf(gap):
        return free
    if gap <= 0.0:
        return -math.inf
    wanted = standstill + max(
        0.0, speed * headway + speed * closing / (2.0 * math.sqrt(strongest * comfortable))
    )
    return free - strongest * (wanted / gap) ** 2


@compiled
def mobil_wants_change(
    own_gain: float,
    follower_braking: float,
    follower_loss: float,
    rule: Floats,
) -> bool:
    """Whether the driver changes lane.

    ``own_gain`` is the acceleration won, ``follower_braking`` what the new follower would have to brake,
    ``follower_loss`` the acceleration that followers lose; ``rule`` holds politeness (1), the least gain and
    the safe braking (m/s²).
    """
    politeness: float = rule[0]
    least_gain: float = rule[1]
    safe: float = rule[2]
    return follower_braking <= safe and own_gain - politeness * follower_loss > least_gain
