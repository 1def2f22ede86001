"""However many strings are planted, the same are found as by one search for each, and a text is read once."""

import random
import re
import sys
from collections.abc import Callable

import numpy as np
import pytest

from anonymize.text.fold import FILLER, fold
from anonymize.text.identifier_search import Identifiers
from anonymize.text.planted_strings import PlantedStrings


def one_by_one(strings: list[str], text: str) -> frozenset[int]:
    """What a search for each string by itself finds."""

    def bare(value: str) -> str:
        return "".join(c for c in value.casefold() if c.isalnum() or c == FILLER)

    found = set()
    for number, string in enumerate(strings):
        needle = bare(fold(string).text)
        if len(needle) >= (7 if needle.isdigit() else 5):
            shown = needle in bare(text)
        else:
            word = rf"(?<![\w.]){re.escape(needle)}(?![\w])(?!\.\w)"
            shown = re.search(word, text, re.IGNORECASE) is not None
        found |= {number} if shown else set()
    return frozenset(found)


def test_the_same_is_found_as_by_one_search_for_each_string():
    drawn = random.Random(7)  # noqa: S311 (no secret)
    pieces = ["frame", "0001", "12", "a", "车", "ſ", "İ", "_", "-", ".", " ", "TXT", "ß", FILLER, "é"]

    def text(most: int) -> str:
        return "".join(drawn.choice(pieces) for _ in range(drawn.randint(1, most)))

    hits = 0
    for _ in range(400):
        strings = [s for s in (text(5) for _ in range(12)) if any(c.isalnum() for c in fold(s).text)]
        searched = fold(text(30)).text
        found = PlantedStrings(strings).found_in(searched)
        assert found == one_by_one(strings, searched)
        hits += len(found)
    assert hits > 100


def test_a_string_is_found_wherever_a_long_text_has_it():
    planted = PlantedStrings([f"{n:06d}.txt" for n in range(50)])
    for before in (0, 65_530, 65_536, 131_000):
        assert planted.found_in("x" * before + " 00-00 17.TXT") == {17}


def test_strings_without_letters_or_digits_are_refused():
    with pytest.raises(ValueError, match="letters or digits"):
        PlantedStrings(["drive", "--"]).found_in("text")


def calls_of(act: Callable[[], object]) -> int:
    """How many functions are called, those written in C included."""
    count = 0

    def see(_frame: object, kind: str, _argument: object) -> None:
        nonlocal count
        count += kind in ("call", "c_call")

    sys.setprofile(see)
    try:
        act()
    finally:
        sys.setprofile(None)
    return count


def names(count: int) -> list[str]:
    return [f"frame_{number:05d}.jpg" for number in range(count)]


def test_a_text_costs_the_same_whether_a_hundred_or_five_thousand_names_are_planted():
    text = "天气晴，城市道路。frame rate 30, frame size 1920x1080\n" * 20
    costs = []
    for count in (100, 5000):
        planted = PlantedStrings(names(count))
        planted.found_in("prepared")
        costs.append(calls_of(lambda ready=planted: ready.found_in(text)))
    assert costs[1] <= costs[0] * 1.2


def test_released_bytes_cost_hardly_more_with_thousands_of_names():
    noise = np.random.default_rng(3).integers(0, 256, 1 << 18, np.uint8).tobytes()
    content = noise + b"frame rate 30, frame size 1920x1080, 12:34:56\n" * 2000
    known = Identifiers(planted=names(5000))
    # Without an anchor that few names share, each "frame" and each four bytes alike would try thousands of them.
    assert calls_of(lambda: known.search((content,))) < len(content) / 10
    assert known.search((content, b"see Frame_04999.JPG"))
