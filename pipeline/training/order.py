"""In which order samples come, and whose they are: the same on every machine, whatever the versions of libraries.

Shards come in a random order, the samples of a shard in a random order within it, so that each is opened once.
Random is a digest of seed, epoch and place: nothing that a library could change. The sequence of all samples is
cut into one stretch for each rank and that into one for each worker; lengths differ by one at most.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardPlace:
    """A shard and how many samples it has."""

    release: str
    number: int
    samples: int


def stretch(total: int, part: int, parts: int) -> range:
    """The places of one part of ``parts``: all parts together are all places, each once.

    Raises:
        ValueError: There is no such part.
    """
    if not 0 <= part < parts:
        raise ValueError(f"part (got {part}, expected from 0 to {parts - 1})")
    return range(total * part // parts, total * (part + 1) // parts)


def share(total: int, *, rank: int, world: int, worker: int, workers: int, even: bool = False) -> range:
    """The places of one worker of one rank.

    Args:
        total: How many samples there are.
        rank: Which process of the training.
        world: How many processes train.
        worker: Which loading process of the rank.
        workers: How many loading processes it has.
        even: Leave the last samples out, fewer than ``world``, so that every rank has as many.

    Raises:
        ValueError: There is no such rank or worker.
    """
    if even:
        total -= total % world
    mine = stretch(total, rank, world)
    return mine[slice(*_bounds(stretch(len(mine), worker, workers)))]


def ordered(places: Sequence[ShardPlace], *, seed: int, epoch: int, shuffle: bool) -> list[ShardPlace]:
    """The shards in the order of an epoch."""
    if not shuffle:
        return list(places)
    return sorted(places, key=lambda p: _draw(seed, epoch, p.release, p.number))


def walk(
    places: Sequence[ShardPlace], wanted: range, *, seed: int, epoch: int, shuffle: bool
) -> Iterator[tuple[ShardPlace, tuple[int, ...]]]:
    """The shards that a stretch of the sequence touches, each with the samples that it takes, in order.

    Args:
        places: All shards, in any order that is the same everywhere.
        wanted: A stretch of the sequence.
        seed: Of the training.
        epoch: Number of the epoch.
        shuffle: Whether the order is random.
    """
    begin = 0
    for place in ordered(places, seed=seed, epoch=epoch, shuffle=shuffle):
        first, after = max(begin, wanted.start), min(begin + place.samples, wanted.stop)
        if first < after:
            inside = list(range(place.samples))
            if shuffle:
                inside.sort(key=lambda index: _draw(seed, epoch, place.release, place.number, index))
            yield place, tuple(inside[first - begin : after - begin])
        begin += place.samples


def _bounds(places: range) -> tuple[int, int]:
    return places.start, places.stop


def _draw(*what: int | str) -> bytes:
    return blake2b("\0".join(map(str, what)).encode(), digest_size=16).digest()
