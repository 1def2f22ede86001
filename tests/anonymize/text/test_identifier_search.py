"""VINs, serials and planted strings are found in every form, at their place, and nothing else is."""

import base64
import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymize.errors import ResidualError
from anonymize.finding import FindingKind, IndexSpan
from anonymize.text.identifier_search import Identifiers, find_identifiers

VIN = "LSVAU2180N2183294"
CHECKED = "1M8GDM9AXKP042788"
SERIAL = "C0FFEE-1234-5678"
FORMS: dict[str, Callable[[str], bytes]] = {
    "as it is": str.encode,
    "lower case": lambda s: s.lower().encode(),
    "reversed": lambda s: s[::-1].encode(),
    "UTF-16, little endian": lambda s: s.encode("utf-16-le"),
    "UTF-16, big endian, lower case": lambda s: s.lower().encode("utf-16-be"),
    "reversed UTF-16": lambda s: s[::-1].encode("utf-16-le"),
    "hexadecimal": lambda s: s.encode().hex().encode(),
    "hexadecimal capitals of lower case": lambda s: s.lower().encode().hex().upper().encode(),
    "with blanks": lambda s: " ".join(s[k : k + 4] for k in range(0, len(s), 4)).encode(),
    "with hyphens": lambda s: "-".join(s).encode(),
    "base64": lambda s: base64.b64encode(s.encode()),
    "base64 among others": lambda s: base64.b64encode(b"vin=" + s.encode() + b";"),
}
LEADS = [b"", b"\x00\xff\x07", b'{"vehicle":"', b"<id n='3'>"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("lead", LEADS)
def test_a_known_vin_is_found_in_every_form(form, lead):
    planted = FORMS[form](VIN)
    content = lead + planted + b'" \x00 end of it'
    found = find_identifiers(content, vins=[VIN])
    assert {f.kind for f in found} == {FindingKind.VIN}
    assert lead == content[: found[0].where.start] or "base64" in form
    assert VIN not in str([f.as_dict() for f in found])
    assert not find_identifiers(content, vins=["LSVAU2180N2193294"], device_ids=[SERIAL])


@pytest.mark.parametrize("form", ["as it is", "lower case", "UTF-16, little endian"])
def test_an_unknown_vin_is_found_by_its_check_digit(form):
    content = b"car " + FORMS[form](CHECKED) + b" seen"
    (found,) = find_identifiers(content)
    assert found.label.startswith("check digit")
    assert not find_identifiers(b"car " + FORMS[form](CHECKED[:8] + "1" + CHECKED[9:]) + b" seen")


@pytest.mark.parametrize("lead", [b"", b"{", b"vehicle=", b"\x00\x01", b"car "])
@pytest.mark.parametrize("before", [b"", b'{"data":"', b"data:text/plain;base64,", b"n", b"nn", b"nnn"])
def test_an_unknown_vin_is_found_in_what_base64_encodes(before, lead):
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for vin in (CHECKED, CHECKED.lower()):
            text = encode(lead + vin.encode() + b"\xff\xfe seen")
            (found,) = find_identifiers(before + text + b'"}')
            assert found.label == "check digit base64"


@pytest.mark.parametrize("around", [b'"', b"\x00", b"\n\x11", b"=", b"/", b".", b":", b"\xe8\xbd\xa6"])
def test_an_unknown_vin_is_found_among_text_and_bytes(around):
    for lead in (b"", b"1.5e-7,0.25,", b"/data/vehicles", bytes(range(256)) * 9):
        (found,) = find_identifiers(lead + around + CHECKED.encode() + around + b"seen")
        assert found.label == "check digit"


def test_an_unknown_vin_is_found_at_every_place_of_a_long_base64_text():
    """Blocks cut long texts anywhere: whatever the place, the VIN is found, once, where it is."""
    rng = np.random.default_rng(5)
    noise = rng.bytes(3_000_000)
    for place in (0, 1, 785_900, 786_410, 786_431, 786_432, 1_572_863, len(noise)):
        text = base64.b64encode(noise[:place] + b" " + CHECKED.encode() + b" " + noise[place:])
        (found,) = Identifiers().search([b'{"data": "', text, b'"}'])
        first = 10 + (place + 1) * 4 // 3
        assert found.where == IndexSpan(start=first, end=10 + -(-(place + 1 + 17) * 4 // 3))


def test_floats_and_what_base64_spells_are_no_vins():
    """Of so many numbers and characters hundreds have right check digits by chance, and none is a VIN."""
    rng = np.random.default_rng(3)
    numbers = (rng.normal(size=200_000) * 10.0 ** -rng.integers(5, 20, 200_000)).tolist()
    for content in (json.dumps(numbers), json.dumps(numbers).upper(), " ".join(map(str, numbers))):
        assert find_identifiers(content.encode()) == ()
    word = CHECKED.encode()
    for spelled in (b"+" + word + b"/", b"/" + word + b"+", b"//" + word + b"//"):
        noise = base64.b64encode(rng.bytes(1_500_000))
        content = b"".join(noise[k : k + 3000] + spelled for k in range(0, len(noise), 3000))
        assert find_identifiers(b'"' + content + b'"') == ()
        assert find_identifiers(b'"' + noise[:300] + spelled + noise[:300] + b'"')


def test_serials_are_found_without_their_separators_and_as_stored_bytes():
    for content in (b"id=c0ffee12345678;", b"C0:FF:EE:12:34:56:78", bytes.fromhex("00c0ffee1234567800")):
        (found,) = find_identifiers(content, device_ids=[SERIAL])
        assert found.kind is FindingKind.DEVICE_ID


def test_file_names_in_chinese_are_found_in_utf_8_and_gb_18030():
    for code in ("utf-8", "gb18030", "utf-16-le"):
        (found,) = find_identifiers("见 望京东路采集".encode(code), planted=["望京东路"])
        assert found.kind is FindingKind.METADATA


@pytest.mark.parametrize("short", ["", "abc", "a-1-b", " 12 "])
def test_strings_that_would_be_everywhere_are_refused(short):
    for name in ("vins", "device_ids", "planted"):
        with pytest.raises(ResidualError, match="too short"):
            find_identifiers(b"content", **{name: [short]})


def test_short_strings_count_as_words_in_text_only():
    assert find_identifiers(b"vehicle v017 left", planted=["V017"])
    assert not find_identifiers(b"vehicle v0171 left", planted=["V017"])
    assert not find_identifiers(b"\x01\x02\x03v017\x05\x06\x07", planted=["V017"])
    assert not find_identifiers(b"3.10345 910344", planted=["1034"])
    assert find_identifiers(b"car,1034,7", planted=["1034"])


def test_megabytes_of_other_content_are_clean():
    rng = np.random.default_rng(1)
    known = Identifiers(vins=[VIN], device_ids=[SERIAL, "0815"], planted=["drive", "车辆17号"])
    noise = rng.bytes(1 << 23)
    for content in (noise, base64.b64encode(noise[: 1 << 22]), noise[: 1 << 21].hex().encode()):
        assert known.search([content]) == ()


@given(st.integers(0, 3_000_000), st.sampled_from([700, 65_536, 5_000_000]))
@settings(max_examples=8, deadline=None)
def test_places_in_a_stream_are_right_across_its_pieces(place, piece):
    content = b"." * place + VIN.encode() + b"." * (3_100_000 - place)
    pieces = (content[at : at + piece] for at in range(0, len(content), piece))
    (found,) = Identifiers(vins=[VIN]).search(pieces)
    assert found.where == IndexSpan(start=place, end=place + len(VIN))


def test_findings_are_bounded():
    assert len(find_identifiers(f"{VIN}\n".encode() * 5000, vins=[VIN])) == 1000
