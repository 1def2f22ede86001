"""Join releases: is a drive in one release a drive in another, under another key?

What both keep is how far the vehicle went from fix to fix. An OFFSET changes these steps by less than a
hundredth, a LOCAL frame not at all; neither trims nor clips, nor their order, nor a shift of time hides a run of
them. The attacker lays every piece of one drive over every drive of the other release at every lag, and asks by
how much the steps agree better than by chance.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft  # type: ignore[import-untyped]

from anonymize.geo.attacks.road_network import ComplexArray
from anonymize.geo.ellipsoid import FloatArray

_LEAST_OVERLAP = 8
_NOISE_M, _NOISE_SHARE = 0.02, 0.004
_STRETCH = (0.985, 1.015)
_GAP = 512
_TIGHT = 9.0
_CLAIM_TIGHT, _CLAIM_RATIO = 0.3, 2.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drive:
    """The steps in metres from fix to fix of one drive, piece by piece (segments of a track, or clips)."""

    pieces: tuple[FloatArray, ...]

    @property
    def steps(self) -> int:
        """How many there are."""
        return sum(len(piece) for piece in self.pieces)


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """To which of the other drives one belongs, by the attacker's scores.

    Attributes:
        best: Index of the best one.
        score: Its score: a log-likelihood ratio against agreement by chance.
        runner_up: The next best score; 0 where there is one candidate only.
        tight: Share of the shorter drive's steps in runs that agree as closely as one drive under two keys does.
    """

    best: int
    score: float
    runner_up: float
    tight: float

    @property
    def claimed(self) -> bool:
        """Whether an attacker who does not know the truth would stand by it."""
        return self.tight >= _CLAIM_TIGHT and self.score >= _CLAIM_RATIO * self.runner_up


def drive_of(pieces: Iterable[ComplexArray]) -> Drive:
    """A drive from the places of its fixes in metres, piece by piece; pieces too short to compare are left out."""
    steps = (np.abs(np.diff(piece)) for piece in pieces)
    return Drive(pieces=tuple(s for s in steps if len(s) >= _LEAST_OVERLAP))


def join(drive: Drive, held: Sequence[Drive]) -> Joined | None:
    """Find a drive among others; None where there is nothing to compare."""
    return HeldDrives(held).join(drive)


class HeldDrives:
    """Drives of other releases, prepared once for many comparisons."""

    def __init__(self, held: Sequence[Drive]) -> None:
        self._held = [(drive, _Laid.of(drive)) if drive.pieces else None for drive in held]

    def join(self, drive: Drive) -> Joined | None:
        """Find a drive among them; None where there is nothing to compare."""
        if not drive.pieces or not any(self._held):
            return None
        own = _Laid.of(drive)
        scores, tight = np.zeros(len(self._held)), np.zeros(len(self._held))
        for number, held in enumerate(self._held):
            if held is not None:
                other, laid = held
                # Short pieces slide over long ones: a long one would lie over many short ones in the wrong order.
                shorter = len(other.pieces) > len(drive.pieces)
                scores[number], agreeing = _score(other, own) if shorter else _score(drive, laid)
                tight[number] = agreeing / min(drive.steps, other.steps)
        best = int(np.argmax(scores))
        others = np.delete(scores, best)
        return Joined(
            best=best,
            score=float(scores[best]),
            runner_up=float(others.max(initial=0.0)),
            tight=float(tight[best]),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Laid:
    """The pieces of a drive in one line, apart by at most 512 empty places, and which places are known."""

    steps: FloatArray
    known: FloatArray

    @classmethod
    def of(cls, drive: Drive) -> "_Laid":
        gap = np.zeros(min(max(len(p) for p in drive.pieces), _GAP))
        steps = [part for piece in drive.pieces for part in (piece, gap)]
        known = [part for piece in drive.pieces for part in (np.ones(len(piece)), gap)]
        return cls(steps=np.concatenate(steps), known=np.concatenate(known))


def _score(drive: Drive, laid: _Laid) -> tuple[float, float]:
    """Sums over the pieces at their best lags: of the agreement, and of the steps that agree closely."""
    longest = max(len(piece) for piece in drive.pieces)
    size = next_fast_len(len(laid.steps) + longest - 1, real=True)
    other = rfft(np.stack([laid.known, laid.steps, laid.steps**2]), size)
    total = np.zeros(2)
    for piece in drive.pieces:
        own = np.conj(rfft(np.stack([np.ones(len(piece)), piece, piece**2]), size))
        # Sums over the overlap at every lag: count, own steps, their squares, the other's squares, products.
        products = (
            own[0] * other[0],
            own[1] * other[0],
            own[2] * other[0],
            own[0] * other[2],
            own[1] * other[1],
        )
        count, mine, square, theirs, both = irfft(np.stack(products), size)
        total += _best_lag(np.rint(count), mine, square, theirs, both)
    return float(total[0]), float(total[1])


def _best_lag(
    count: FloatArray, mine: FloatArray, square: FloatArray, theirs: FloatArray, both: FloatArray
) -> tuple[float, float]:
    enough = count >= _LEAST_OVERLAP
    if not enough.any():
        return 0.0, 0.0
    n = count[enough]
    variance = np.maximum(square[enough] / n - (mine[enough] / n) ** 2, 0.0)
    # An offset stretches a stretch of road nearly as a whole: the best factor near 1 is taken out.
    stretch = np.clip(both[enough] / np.maximum(theirs[enough], _NOISE_M**2), *_STRETCH)
    apart = np.maximum(square[enough] + stretch**2 * theirs[enough] - 2.0 * stretch * both[enough], 0.0) / n
    noise = _NOISE_M**2 + _NOISE_SHARE**2 * square[enough] / n
    # The steps' own variance is what agreement by chance would leave: a standing vehicle agrees with any other.
    ratio = 0.5 * n * np.log((variance + noise) / (apart + noise))
    best = int(np.argmax(ratio))
    close = apart[best] <= _TIGHT * noise[best] < variance[best]
    return float(max(ratio[best], 0.0)), float(n[best]) if close else 0.0
