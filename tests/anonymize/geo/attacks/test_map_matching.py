"""Map matching on a made town: clips cut from it are found, clips from elsewhere are not claimed."""

import io
from pathlib import Path

import numpy as np
import pytest

from anonymize.geo.attacks.figures import Clip, matching_figures, split
from anonymize.geo.attacks.map_matching import match_displaced, match_local
from anonymize.geo.attacks.path_search import find_placements
from anonymize.geo.attacks.road_network import read_road_network
from anonymize.geo.attacks.shapes import along_m, evenly, moving
from streets import degrees, town


def drives(network, made_town, count, length_m, *, seed=1, noise_m=0.3):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        drive = made_town.drive(rng, length_m, noise_m=noise_m)
        yield network.to_frame(*degrees(drive)), np.exp(2j * np.pi * rng.uniform())


def test_a_clip_without_place_and_direction_is_found_by_its_shape(network, made_town):
    for truth, turn in drives(network, made_town, 8, 1000.0):
        match = match_local(network, truth * turn + 4321.0)
        assert match is not None
        assert match.error_m(truth) < 10.0
        assert match.claimed


def test_a_displaced_clip_is_found_around_the_place_that_it_shows(network, made_town):
    for truth, turn in drives(network, made_town, 8, 1000.0, seed=2):
        match = match_displaced(network, truth + 450.0 * turn)
        assert match is not None
        assert match.error_m(truth) < 10.0
        assert match.claimed


def test_a_clip_displaced_farther_than_the_attacker_looks_is_not_claimed(network, made_town):
    for truth, _ in drives(network, made_town, 6, 1000.0, seed=3):
        match = match_displaced(network, truth + 900.0, reach_m=400.0)
        assert match is None or not match.claimed


@pytest.mark.parametrize("length_m", [300.0, 1000.0])
def test_clips_of_another_town_are_not_claimed(network, length_m):
    other = town(seed=99)
    for truth, turn in drives(network, other, 10, length_m, seed=4):
        match = match_local(network, truth * turn)
        assert match is None or not match.claimed
        assert match is None or match.error_m(truth) > 50.0


def test_a_straight_clip_fits_in_many_places_and_is_not_claimed(network):
    match = match_local(network, np.arange(0.0, 110.0, 10.0) + 0j)
    assert match is not None
    assert not match.claimed
    assert match.runner_up_m < 2.0


def test_a_vehicle_that_hardly_moves_matches_nothing(network):
    rng = np.random.default_rng(1)
    assert match_local(network, rng.normal(size=200) + 1j * rng.normal(size=200)) is None
    assert match_local(network, np.zeros(1, complex)) is None


def test_placements_begin_where_they_say_and_hold_the_truth(network, made_town):
    truth, turn = next(drives(network, made_town, 1, 300.0, seed=6, noise_m=0.0))
    shape = evenly(moving(truth * turn), 20.0)
    found = find_placements(
        network, shape, starts=network.places(20.0), spacing_m=20.0, tolerance_m=9.0, turning=True, most=10**6
    )
    placed = found.turn[0] * shape + found.shift[0]
    assert np.abs(found.turn[0]) == pytest.approx(1.0)
    assert np.all(np.diff(found.rms_m) >= 0.0)
    assert found.rms_m[-1] <= 9.0
    assert np.abs(placed[0] - network.positions(found.edge[:1], found.along_m[:1])[0]) < 3 * 9.0
    # The truth is among them, and so is every place of the network that looks alike.
    ends = np.abs(found.turn * shape[0] + found.shift - truth[0]) + np.abs(
        found.turn * shape[-1] + found.shift - truth[-1]
    )
    assert ends.min() < 40.0


def test_figures_count_found_claimed_and_foreign_clips_apart(network, made_town):
    clips = [Clip(shown=t * u, truth=t) for t, u in drives(network, made_town, 5, 1000.0, seed=7)]
    clips += [
        Clip(shown=t * u, truth=t + 30_000.0) for t, u in drives(network, town(seed=99), 5, 1000.0, seed=8)
    ]
    told = []
    figures = matching_figures(
        network, clips, mode="LOCAL", reach_m=1500.0, progress=lambda done, of: told.append((done, of))
    )
    assert [(f.over_m, f.to_m, f.tried, f.found, f.claimed_wrong) for f in figures] == [
        (700.0, 1500.0, 5, 5, 0)
    ]
    assert (figures[0].elsewhere, figures[0].elsewhere_claimed) == (5, 0)
    assert told == [(n, 10) for n in range(1, 11)]


def test_a_long_clip_is_cut_into_pieces_with_their_truth(network, made_town):
    truth, _ = next(drives(network, made_town, 1, 1000.0, seed=9, noise_m=0.0))
    pieces = list(split(Clip(shown=truth + 400.0, truth=truth), 300.0))
    assert len(pieces) == 3
    for piece in pieces:
        assert 280.0 < piece.length_m < 330.0
        assert np.allclose(piece.shown - piece.truth, 400.0)


def test_noise_of_a_standing_receiver_lengthens_no_way():
    rng = np.random.default_rng(2)
    straight = np.arange(0.0, 1000.0, 10.0) + 0j
    stop = np.repeat(straight[50], 300) + 0.5 * (rng.normal(size=300) + 1j * rng.normal(size=300))
    way = evenly(moving(np.concatenate([straight[:50], stop, straight[51:]])), 20.0)
    assert along_m(way)[-1] == pytest.approx(980.0, abs=30.0)
    assert abs(way[0] - straight[0]) < 2.0


def test_clips_of_roads_of_a_real_extract_are_found(shared: Path):
    with (shared / "osm" / "krems.osm.gz").open("rb") as file:
        network = read_road_network(io.BytesIO(file.read()))
    rng = np.random.default_rng(3)
    first, order = network.leaving
    found = tried = 0
    while tried < 6:
        edge = int(rng.integers(len(network.tail)))
        way = [network.nodes[network.tail[edge]], network.nodes[network.head[edge]]]
        while np.abs(np.diff(way)).sum() < 1500.0:
            leaving = order[first[network.head[edge]] : first[network.head[edge] + 1]]
            onward = leaving[leaving != edge ^ 1]
            if not len(onward):
                break
            edge = int(rng.choice(onward))
            way.append(network.nodes[network.head[edge]])
        else:
            along = along_m(np.array(way))
            where = np.arange(0.0, 1500.0, 10.0)
            truth = np.interp(where, along, np.real(way)) + 1j * np.interp(where, along, np.imag(way))
            match = match_local(network, truth * np.exp(2j))
            tried += 1
            found += match is not None and match.error_m(truth) < 50.0
    assert found >= 5
