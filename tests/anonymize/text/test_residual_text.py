"""The second look: what the first one left, in any encoding, and what was planted."""

import base64
import json
from urllib.parse import quote

import pytest

from anonymize.errors import LimitExceededError, MalformedItemError
from anonymize.text.residual import scan_text

LEFT = {
    "resident_id": "11010519491231002X",
    "resident_id_spaced": "110105 19491231 002X",
    "resident_id_full_width": "１１０１０５１９４９１２３１００２Ｘ",
    "vin": "1HGCM82633A004352",
    "vin_lower": "1hgcm82633a004352",
    "plate": "京A·12345",
    "plate_new_energy": "沪AD12345",
    "card": "6222021234567890128",
    "phone": "138-0013-8000",
    "landline": "010-62345678",
    "email": "zhang.san@example.com",
    "ipv4": "10.23.4.5",
    "nmea": "$GPGGA,184353.07,1929.045,S,02410.506,E",
    "labelled_position": "lat: 39.904211",
    "degrees": "39°54'15.2\"N",
    "decimal_pair": "39.904211, 116.407395",
    "date": "2024-05-01T08:30:15Z",
    "date_chinese": "2024年5月1日",
    "epoch": "1714552215123",
}

DISGUISES = {
    "raw": lambda text: text.encode(),
    "json": lambda text: json.dumps({"notes": text}).encode(),
    "percent": lambda text: quote(text).encode(),
    "escapes": lambda text: "".join(f"\\u{ord(c):04x}" for c in text).encode(),
    "entities": lambda text: "".join(f"&#{ord(c)};" for c in text).encode(),
    "base64": lambda text: base64.b64encode(text.encode()),
    "base64_url": lambda text: base64.urlsafe_b64encode(text.encode()).rstrip(b"="),
}

CLEAN = {
    "placeholders": "<VIN> 与 <PHONE>，雨天",
    "calibration": "P0: 7.215377000000e+02 0.000000000000e+00 6.095593000000e+02",
    "labels": "Truck 0.00 0 -1.57 599.41 156.40 629.75 189.25 2.85 2.63 12.34",
    "small_numbers": "2.3308445025757263e-09, 2.1296819499142417E-11, -1.8792209207738454e-15",
    "version": "版本 1.2.3.4",
    "digest": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
}


@pytest.mark.parametrize("disguise", DISGUISES.values(), ids=DISGUISES.keys())
@pytest.mark.parametrize("secret", LEFT.values(), ids=LEFT.keys())
def test_what_is_left_is_found_through_encodings(text_profile, secret, disguise):
    content = disguise(secret)
    media_type = "application/json" if content.startswith(b"{") else "text/plain"
    report = scan_text(content, media_type, profile=text_profile)
    assert not report.clean


@pytest.mark.parametrize("text", CLEAN.values(), ids=CLEAN.keys())
def test_harmless_text_is_clean(text_profile, text):
    report = scan_text(text.encode(), "text/plain", profile=text_profile)
    assert [finding.label for finding in report.residual] == []
    assert report.scanners
    assert report.scanners[0].startswith("text-residual@")


PLANTED = {
    "exact": ("ABC-9931", "see ABC-9931 there"),
    "case": ("Abc-9931", "see aBC-9931"),
    "separators": ("ABC-9931", "see A B C 9-9.3_1"),
    "added_separators": ("ABC9931X", "abc 99/31 x"),
    "full_width": ("ABC9931", "ＡＢＣ９９３１"),
    "han": ("秘密基地路线", "经秘密 基地·路线返回"),
    "short_word": ("X7", "code X7."),
    "digits": ("4401234", "id 440-1234"),
}


@pytest.mark.parametrize("case", PLANTED.values(), ids=PLANTED.keys())
def test_planted_strings_are_found_whatever_their_form(text_profile, case):
    planted, text = case
    report = scan_text(text.encode(), "text/plain", profile=text_profile, planted=[planted])
    assert [finding.label for finding in report.residual] == ["planted"]
    assert planted not in json.dumps(report.as_dict(), ensure_ascii=False)


def test_planted_strings_are_found_in_decoded_json(text_profile):
    content = b'{"notes":"\\u0041BC9931"}'
    assert not scan_text(content, "application/json", profile=text_profile, planted=["abc9931"]).clean


def test_short_planted_numbers_do_not_hit_number_tables(text_profile):
    content = b"P0: 7.070493000000e+02 0.000000000000e+00 0.000000"
    assert scan_text(content, "text/plain", profile=text_profile, planted=["000000"]).clean


def test_bad_input_is_an_error_not_a_clean_report(text_profile):
    with pytest.raises(ValueError, match="got none"):
        scan_text(b"x", "text/plain", profile=text_profile, planted=["--"])
    with pytest.raises(MalformedItemError, match="offset 0"):
        scan_text(b"\xff", "text/plain", profile=text_profile)
    with pytest.raises(MalformedItemError, match="malformed"):
        scan_text(b"{", "application/json", profile=text_profile)
    with pytest.raises(LimitExceededError, match="too large"):
        scan_text(b"x" * (text_profile.max_bytes + 1), "text/plain", profile=text_profile)
