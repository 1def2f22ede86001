"""Rule 14: a limit sign counts as nulled where each that was found was masked, and denies otherwise."""

from typing import Any

import pytest

from gateway.flow.judge import _attributes_nulled


def payload(tags: list[str], counts: dict[str, int], treated: dict[str, int]) -> dict[str, Any]:
    return {"tags": tags, "counts": counts, "treated": treated}


CASES = {
    "nothing found": (payload([], {}, {}), True),
    "each sign masked": (payload(["LIMIT_HWW"], {"limit_sign": 2}, {"limit_sign": 2}), True),
    "a sign of a video masked in many frames": (
        payload(["LIMIT_HWW", "FACE"], {"limit_sign": 1, "face": 1}, {"limit_sign": 40, "face": 3}),
        True,
    ),
    "one sign left": (payload(["LIMIT_HWW"], {"limit_sign": 2}, {"limit_sign": 1}), False),
    "a tag without a finding": (payload(["LIMIT_HWW"], {}, {}), False),
    "faces masked, signs not": (payload(["LIMIT_HWW"], {"limit_sign": 1, "face": 1}, {"face": 1}), False),
    "a bridge load": (payload(["BRIDGE_LOAD"], {"limit_sign": 1}, {"limit_sign": 1}), False),
    "elevations removed, a sign left": (
        payload(["ELEV", "LIMIT_HWW"], {"elevation": 1, "limit_sign": 1}, {"elevation": 9}),
        False,
    ),
    "elevations removed": (payload(["ELEV"], {"elevation": 1}, {"elevation": 9}), True),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_counts_as_nulled(case: tuple[dict[str, Any], bool]):
    found, expected = case
    assert _attributes_nulled(found) is expected
