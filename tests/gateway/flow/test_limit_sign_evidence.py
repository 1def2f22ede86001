"""Rule 14: a limit sign counts as nulled where each that was found was masked, and denies otherwise."""

import io
from typing import Any

import pytest
import sqlalchemy as sa
from PIL import Image, ImageDraw, ImageFont

from anonymize.finding import FindingKind
from gateway.commands.demo_drive import photographs
from gateway.flow.cleanse import load_cleansed
from gateway.flow.gate import Gate
from gateway.flow.judge import _attributes_nulled, detectors_required
from gateway.flow.records import ItemRow
from simulators import House, candidate, cleanse, publish


def payload(
    tags: list[str], counts: dict[str, int], treated: dict[str, int], *removed: str, reviewed: str = ""
) -> dict[str, Any]:
    """What evidence states; ``removed`` are tags of attributes of a map that went, ``reviewed`` one that stays."""
    return {
        "tags": tags,
        "counts": counts,
        "treated": treated,
        "treatments": [
            {"kind": kind, "of": "map_attribute", "count": 3, "parameters": {"tag": tag}}
            for kind, tag in (each.split(" ") for each in removed)
        ],
        "facts": {"reviews_tags": [reviewed]} if reviewed else {},
    }


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
    "limits and loads of a map removed": (
        payload(
            ["BRIDGE_LOAD", "LIMIT_HWW"], {"map_attribute": 2}, {}, "redact LIMIT_HWW", "drop BRIDGE_LOAD"
        ),
        True,
    ),
    "loads of a map removed, limits not": (
        payload(["BRIDGE_LOAD", "LIMIT_HWW"], {"map_attribute": 2}, {}, "redact BRIDGE_LOAD"),
        False,
    ),
    "limits of a map marked, not removed": (
        payload(["LIMIT_HWW"], {"map_attribute": 1}, {}, "strip_metadata LIMIT_HWW"),
        False,
    ),
    "some limits of a map removed, some left to a review": (
        payload(["LIMIT_HWW"], {"map_attribute": 2}, {}, "redact LIMIT_HWW", reviewed="LIMIT_HWW"),
        False,
    ),
    "limits of a map removed, a sign left": (
        payload(["LIMIT_HWW"], {"limit_sign": 2}, {"limit_sign": 1}, "redact LIMIT_HWW"),
        False,
    ),
    "elevations removed": (payload(["ELEV"], {"elevation": 1}, {"elevation": 9}), True),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_counts_as_nulled(case: tuple[dict[str, Any], bool]):
    found, expected = case
    assert _attributes_nulled(found) is expected


def street_with_a_height_limit() -> bytes:
    """A photograph with 限制高度 of GB 5768.2, 64 pixels wide, drawn onto it."""
    with Image.open(io.BytesIO(photographs()[-1])) as photograph:
        scene = photograph.convert("RGB").resize((640, 360))
    sign = Image.new("RGBA", (256, 256))
    draw = ImageDraw.Draw(sign)
    draw.ellipse((0, 0, 255, 255), fill=(200, 20, 30))
    draw.ellipse((26, 26, 229, 229), fill=(238, 238, 236))
    draw.polygon([(98, 33), (158, 33), (128, 66)], fill="black")
    draw.polygon([(98, 223), (158, 223), (128, 190)], fill="black")
    draw.text((128, 128), "4.5m", fill="black", font=ImageFont.load_default(size=77), anchor="mm")
    sign = sign.resize((64, 64), Image.Resampling.LANCZOS)
    scene.paste(sign, (30, 40), sign)
    out = io.BytesIO()
    scene.save(out, "jpeg", quality=95)
    return out.getvalue()


def test_a_masked_sign_is_told_by_the_evidence_and_released(sqlite_gate: Gate, sqlite_house: House):
    assert FindingKind.LIMIT_SIGN in detectors_required(sqlite_gate)
    recording = cleanse(
        sqlite_gate, {"street.jpg": street_with_a_height_limit()}, attestation="a closed test track"
    )
    with sqlite_gate.database.read() as session:
        (item,) = session.scalars(sa.select(ItemRow).where(ItemRow.recording_id == recording))
        found = load_cleansed(sqlite_gate, session, item.id).payload
    assert found["counts"]["limit_sign"] == found["treated"]["limit_sign"] == 1
    assert "LIMIT_HWW" in found["tags"]
    assert set(found["detector_kinds"]) == {"face", "plate", "limit_sign"}
    # Raises unless policy allows.
    publish(sqlite_gate, sqlite_house, candidate(sqlite_gate, sqlite_house, recording))
