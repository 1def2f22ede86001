"""The known-point attack on offsets with known answers, and on our own."""

import numpy as np
import pytest

from anonymize.errors import MalformedItemError
from anonymize.geo.attacks.known_points import known_point_attack
from anonymize.geo.offset import KeyedOffset
from anonymize.geo.prf import subkey
from streets import degrees

OCTAVES = ((64000.0, 170.0), (16000.0, 37.0), (4000.0, 8.2), (1000.0, 1.7))


def places(count: int = 400, *, reach_m: float = 8000.0, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(-reach_m, reach_m, count) + 1j * rng.uniform(-reach_m, reach_m, count)


def figures(true, shown, **more):
    found = known_point_attack(degrees(true), degrees(shown), octaves=OCTAVES, rounds=20, **more)
    return {(f.known, f.fit): f for f in found}


def test_one_pair_undoes_a_constant_displacement_to_less_than_a_metre():
    true = places()
    found = figures(true, true + 300.0 - 170.0j)
    assert found[1, "constant"].median_m < 0.1
    assert found[1, "constant"].p95_m < 1.0
    assert found[1, "constant"].best


def test_two_pairs_undo_a_turn_and_three_a_stretch():
    true = places(reach_m=2000.0)
    turned = figures(true, true * np.exp(0.05j) * 1.01 + 200.0)
    assert turned[2, "similarity"].median_m < 1.0
    assert turned[1, "constant"].median_m > 50.0
    stretched = figures(true, true.real * 1.02 + 1j * true.imag * 0.99 + 400j)
    assert stretched[3, "affine"].median_m < 1.0
    assert stretched[2, "similarity"].median_m > 5.0


def test_no_pair_undoes_displacements_that_nothing_joins():
    rng = np.random.default_rng(5)
    true = places()
    found = figures(true, true + 300.0 * np.exp(2j * np.pi * rng.uniform(size=len(true))))
    assert min(f.median_m for f in found.values()) > 200.0


def test_more_pairs_leave_less_of_the_keyed_offset(profile):
    true = places(reach_m=20000.0)
    offset = KeyedOffset(subkey(bytes(32), "test"), profile)
    found = known_point_attack(
        degrees(true), offset.displace(*degrees(true)), octaves=profile.offset_octaves, rounds=20
    )
    best = [f.median_m for f in found if f.best]
    assert len(best) == 5
    assert best[0] > best[2] > best[4]
    assert 5.0 < best[0] < 60.0
    assert best[4] < 12.0


def test_a_fit_of_a_plane_survives_pairs_on_one_line():
    true = np.linspace(-5000.0, 5000.0, 300) + 0j
    found = figures(true, true + 400.0)
    assert max(f.median_m for f in found.values()) < 1.0


@pytest.mark.parametrize(
    ("true", "shown", "counts"), [(places(5), places(4), (1,)), (places(5), places(5), (0,))]
)
def test_pairs_that_are_none_are_refused(true, shown, counts):
    with pytest.raises(MalformedItemError, match="got"):
        known_point_attack(degrees(true), degrees(shown), octaves=OCTAVES, counts=counts)


def test_numbers_of_pairs_that_leave_nothing_to_judge_by_are_passed_over():
    true = places(5)
    assert {known for known, _ in figures(true, true + 5.0)} == {1, 2, 3}
    assert known_point_attack(*(((np.zeros(0),) * 2,) * 2), octaves=OCTAVES) == ()
