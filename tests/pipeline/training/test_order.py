"""Who gets which sample, for any shards, ranks and workers: nothing twice, nothing lost, the same everywhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.training.order import ShardPlace, share, stretch, walk

PLACES = st.lists(st.integers(1, 9), min_size=1, max_size=7).map(
    lambda sizes: [ShardPlace(release=f"r{n % 2}", number=n, samples=size) for n, size in enumerate(sizes)]
)


def taken(places: list[ShardPlace], wanted: range, seed: int = 3, epoch: int = 0, shuffle: bool = True):  # noqa: FBT001, FBT002
    return [
        (place.release, place.number, index)
        for place, inside in walk(places, wanted, seed=seed, epoch=epoch, shuffle=shuffle)
        for index in inside
    ]


@given(PLACES, st.integers(1, 5), st.integers(0, 4), st.booleans())
def test_ranks_and_workers_share_everything_without_overlap(
    places: list[ShardPlace],
    world: int,
    workers: int,
    shuffle: bool,  # noqa: FBT001
):
    total, count = sum(p.samples for p in places), max(1, workers)
    found, lengths = [], []
    for rank in range(world):
        of_rank = []
        for worker in range(count):
            wanted = share(total, rank=rank, world=world, worker=worker, workers=count)
            of_rank += taken(places, wanted, shuffle=shuffle)
        lengths.append(len(of_rank))
        found += of_rank

    everything = [(p.release, p.number, n) for p in places for n in range(p.samples)]
    assert sorted(found) == sorted(everything)
    assert max(lengths) - min(lengths) <= 1
    assert found == taken(places, range(total), shuffle=shuffle)


@given(st.integers(0, 60), st.integers(1, 7))
def test_even_ranks_have_as_many_each(total: int, world: int):
    shares = [share(total, rank=r, world=world, worker=0, workers=1, even=True) for r in range(world)]

    assert {len(each) for each in shares} == {total // world}


def test_seed_and_epoch_change_the_order_and_each_shard_is_visited_once():
    places = [ShardPlace(release="r", number=n, samples=20) for n in range(6)]
    whole = range(120)

    orders = [taken(places, whole, seed, epoch) for seed, epoch in ((1, 0), (1, 1), (2, 0), (1, 0))]

    assert orders[0] == orders[3]
    assert orders[0] != orders[1]
    assert orders[0] != orders[2]
    visited = [place.number for place, _ in walk(places, whole, seed=1, epoch=0, shuffle=True)]
    assert sorted(visited) == list(range(6))
    assert visited != sorted(visited)
    assert taken(places, whole, shuffle=False) == [("r", n, i) for n in range(6) for i in range(20)]


def test_the_order_is_that_of_earlier_versions():
    places = [ShardPlace(release="rel", number=n, samples=3) for n in range(3)]

    assert [(n, i) for _, n, i in taken(places, range(9), seed=7, epoch=2)] == [
        (0, 0),
        (0, 1),
        (0, 2),
        (1, 2),
        (1, 0),
        (1, 1),
        (2, 1),
        (2, 0),
        (2, 2),
    ]


def test_parts_that_are_not_there_are_refused():
    for part, parts in ((2, 2), (-1, 2), (0, 0)):
        with pytest.raises(ValueError, match="part"):
            stretch(10, part, parts)
