"""How far the clock of a file of times was ahead, which lines its items belong to, and the form in between."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anonymize.errors import LimitExceededError, MalformedItemError, UnknownFormatError
from anonymize.layouts.timestamps import (
    MAX_CLOCK_ERROR_S,
    clock_ahead_s,
    numbered_lines,
    read_stored_times,
    states_zone,
    write_stored_times,
)

LOCAL, ZONED = b"2011-09-26 13:02:25.5\n", b"2011-09-26 13:02:25.5+02:00\n"


def test_lines_that_state_a_zone_are_told_from_others():
    assert not states_zone(LOCAL * 3)
    assert states_zone(ZONED * 3)
    assert states_zone(b"2011-09-26T13:02:25Z\n")
    with pytest.raises(MalformedItemError, match="some of each"):
        states_zone(LOCAL + ZONED)
    with pytest.raises(MalformedItemError, match="line 1"):
        states_zone(LOCAL + b"noon\n")
    with pytest.raises(UnknownFormatError):
        states_zone(b"\n")


def test_files_belong_to_the_lines_that_their_numbers_say():
    assert numbered_lines(["0000000000", "0000000002", "0000000001"], 3).tolist() == [0, 2, 1]
    # KITTI lost sweeps of some drives: their lines are there, the files aren't.
    assert numbered_lines(["0000000000", "0000000003"], 4).tolist() == [0, 3]


def test_files_of_other_names_belong_to_lines_in_their_order():
    assert numbered_lines(["c", "a", "b"], 3).tolist() == [2, 0, 1]
    assert numbered_lines(["0101", "0100"], 2).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("stems", "count"), [([], 3), (["a", "b"], 3), (["5", "6"], 3), (["1", "01"], 3), (["\u00b2"], 3)]
)
def test_files_that_say_no_line_belong_to_none(stems, count):
    assert numbered_lines(stems, count) is None


@given(
    ahead=st.floats(-1e8, 1e8),
    errors=st.lists(st.floats(-0.49 * MAX_CLOCK_ERROR_S, 0.49 * MAX_CLOCK_ERROR_S), min_size=1, max_size=20),
)
def test_a_clock_is_ahead_by_what_all_moments_say(ahead, errors):
    known = 1317042145.0 + np.arange(len(errors)) * 0.1
    assert clock_ahead_s(known + ahead + errors, known) == pytest.approx(
        ahead, abs=MAX_CLOCK_ERROR_S / 2 + 1e-6
    )


def test_moments_that_disagree_say_nothing():
    known = np.arange(5.0)
    with pytest.raises(MalformedItemError, match="disagree"):
        clock_ahead_s(np.append(known + 8.0, 8.0 + 1.1 * MAX_CLOCK_ERROR_S), np.append(known, 0.0))
    with pytest.raises(MalformedItemError):
        clock_ahead_s([np.nan], [0.0])


def test_the_form_in_between_keeps_every_time(drive, profile):
    stored = write_stored_times(drive.t)
    assert np.array_equal(read_stored_times(stored, profile=profile), drive.t)
    with pytest.raises(LimitExceededError):
        read_stored_times(stored, profile=replace(profile, max_points=5))


@pytest.mark.parametrize("content", [b"", b"time_s\n", b"time_s\nnoon\n", b"time_s\nnan\n", b"1.0\n2.0\n"])
def test_other_forms_are_refused(content, profile):
    with pytest.raises(MalformedItemError):
        read_stored_times(content, profile=profile)
