"""Cleansing of text and JSON: nothing found survives, all else does, bad input is an error that names it."""

import json
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from anonymize.errors import LimitExceededError, MalformedItemError
from anonymize.finding import FieldPath, FindingKind, TextSpan, TreatmentKind
from anonymize.formats.sniff import ItemKind
from anonymize.text.analyzer import TextAnalyzer
from anonymize.text.cleanse import cleanse_json, cleanse_text
from anonymize.text.inspect import inspect_text
from anonymize.text.redact import redact
from anonymize.text.residual import scan_text

REPORT = (
    "驾驶员：王小明，身份证１１０１０５１９４９１２３１００２Ｘ，手机138 0013 8000\r\n"
    "车牌 京A·12345，VIN 1HGCM82633A004352，2024年5月1日出发，坐标39.904211,116.407395\r\n"
    "雨天，路面湿滑。\r\n"
)
SECRETS = ("王小明", "１００２Ｘ", "0013", "京A", "12345", "1HGCM", "2024", "39.9", "116.4")

CALIBRATION = (
    "P0: 7.215377000000e+02 0.000000000000e+00 6.095593000000e+02 0.000000000000e+00 1.728540000000e+02\n"
    "R0_rect: 9.999239000000e-01 9.837760000000e-03 -7.445048000000e-03 -9.869795000000e-03\n"
    "Tr_imu_to_velo: 9.999976000000e-01 7.553071000000e-04 -2.035826000000e-03 -8.086759000000e-04\n"
)
LABELS = (
    "Truck 0.00 0 -1.57 599.41 156.40 629.75 189.25 2.85 2.63 12.34 0.47 1.49 69.44 -1.56\n"
    "DontCare -1 -1 -10 503.89 169.71 590.61 190.13 -1 -1 -1 -1000 -1000 -1000 -10\n"
)


def text_of(treated):
    return treated.content.decode()


def test_text_keeps_everything_but_what_was_found(analyzer, text_profile):
    treated = cleanse_text(REPORT.encode(), analyzer=analyzer, profile=text_profile)
    assert text_of(treated) == (
        "驾驶员：<PERSON_NAME>，身份证<RESIDENT_ID>，手机<PHONE>\r\n"
        "车牌 <PLATE>，VIN <VIN>，<TIMESTAMP>出发，坐标<POSITION>\r\n"
        "雨天，路面湿滑。\r\n"
    )
    assert treated.media_type == "text/plain"
    assert treated.facts["findings"] == {
        "person_name": 1,
        "phone": 1,
        "plate": 1,
        "position": 1,
        "resident_id": 1,
        "timestamp": 1,
        "vin": 1,
    }
    assert {(t.kind, t.of, t.count) for t in treated.treatments} >= {
        (TreatmentKind.REDACT, FindingKind.VIN, 1)
    }


def test_findings_carry_places_and_never_content(analyzer, text_profile):
    treated = cleanse_text(REPORT.encode(), analyzer=analyzer, profile=text_profile)
    evidence = json.dumps([finding.as_dict() for finding in treated.findings], ensure_ascii=False)
    assert not [secret for secret in SECRETS if secret in evidence]
    spans = [finding.where for finding in treated.findings]
    assert REPORT[spans[0].start : spans[0].end] == "王小明"


def test_a_replacement_that_brings_context_nearer_is_followed_up(analyzer):
    text = "sn: 1234567890 北京市海淀区中关村大街27号" + " x" * 8 + " 时间 " + "1HGCM82633A004352 1714552215"
    redacted = redact(text, analyzer)
    assert analyzer.find(redacted.text) == ()
    for finding in redacted.findings:
        assert isinstance(finding.where, TextSpan)
        assert 0 <= finding.where.start < finding.where.end <= len(text)


def test_spans_of_later_passes_are_places_in_the_original(analyzer):
    long_id = "110105 19491231 002X"
    text = f"timestamp {long_id} {long_id} 1714552215 end"
    redacted = redact(text, analyzer)
    assert redacted.passes == 2
    assert [text[f.where.start : f.where.end] for f in redacted.findings] == [long_id, long_id, "1714552215"]


def test_a_byte_order_mark_is_dropped(analyzer, text_profile):
    treated = cleanse_text(b"\xef\xbb\xbfrain", analyzer=analyzer, profile=text_profile)
    assert treated.content == b"rain"


BAD_TEXT = {
    "empty": (b"", "empty"),
    "only_a_mark": (b"\xef\xbb\xbf", "empty"),
    "gbk": ("雨天".encode("gbk"), "offset 0"),
    "latin_1": (b"caf\xe9 au lait", "0xe9 at offset 3"),
    "latin_1_after_mark": (b"\xef\xbb\xbfcaf\xe9", "offset 6"),
    "truncated_utf8": ("雨天".encode()[:-1], "offset 3"),
    "nul": (b"a\x00b", "U+0000 at character 1"),
    "escape": (b"\x1b[31mred", "U+001B"),
    "c1": ("a\x9b".encode(), "U+009B"),
}


@pytest.mark.parametrize("case", BAD_TEXT.values(), ids=BAD_TEXT.keys())
def test_bad_text_is_refused_by_name(analyzer, text_profile, case):
    content, message = case
    with pytest.raises(MalformedItemError, match=message.replace("+", r"\+")):
        cleanse_text(content, analyzer=analyzer, profile=text_profile)


def test_too_much_text_is_refused(analyzer, text_profile):
    with pytest.raises(LimitExceededError, match="got 11 bytes, expected at most 10"):
        cleanse_text(b"x" * 11, analyzer=analyzer, profile=replace(text_profile, max_bytes=10))


def test_json_keeps_allowed_fields_and_redacts_their_values(analyzer, text_profile):
    document = {
        "Weather": "雨",
        "vin": "1HGCM82633A004352",
        "13800138000": 1,
        "notes": ["driver: John Smith", {"secret": 1, "fps": 30}],
        "camera": {"fx": 721.5377, "width": 1242, "owner": "x"},
        "version": 1.5,
        "labels": [True, None, 3],
    }
    treated = cleanse_json(json.dumps(document).encode(), analyzer=analyzer, profile=text_profile)
    assert text_of(treated) == (
        '{"Weather":"雨","notes":["driver: <PERSON_NAME>",{"fps":30}],'
        '"camera":{"fx":721.5377,"width":1242},"version":1.5,"labels":[true,null,3]}'
    )
    assert treated.facts["dropped_fields"] == 4
    assert treated.facts["findings"] == {"person_name": 1}
    places = {f.where.path for f in treated.findings if f.kind is FindingKind.UNLISTED_FIELD}
    assert places == {"/*", "/notes/1/*", "/camera/*"}
    evidence = json.dumps([finding.as_dict() for finding in treated.findings])
    assert "13800138000" not in evidence
    assert "secret" not in evidence


NUMBERS = {
    "phone": (13800138000, FindingKind.PHONE),
    "resident_id": (110101199003074514, FindingKind.RESIDENT_ID),
    "epoch_s": (1714552215, FindingKind.TIMESTAMP),
    "epoch_float": (1714552215.25, FindingKind.TIMESTAMP),
    "epoch_ns": (1714552215123456789, FindingKind.TIMESTAMP),
    "position": ([39.904211, 116.407395], FindingKind.POSITION),
    "position_lon_first": ([116.407395, 39.904211, 51.2], FindingKind.POSITION),
    "track": ([[116.407395, 39.904211], [116.407495, 39.904311]], FindingKind.POSITION),
}


@pytest.mark.parametrize("case", NUMBERS.values(), ids=NUMBERS.keys())
def test_telling_numbers_under_allowed_keys_are_replaced(analyzer, text_profile, case):
    value, kind = case
    treated = cleanse_json(json.dumps({"notes": value}).encode(), analyzer=analyzer, profile=text_profile)
    assert set(treated.facts["findings"]) == {kind.value}
    assert f"<{kind.name}>" in text_of(treated)
    assert all(isinstance(finding.where, FieldPath) for finding in treated.findings)


def test_calibration_numbers_survive_exactly(analyzer, text_profile):
    document = {
        "intrinsics": [721.5377, 0, 609.5593, 0, 721.5377, 172.854, 0, 0, 1],
        "distortion": [-0.369112, 0.196845, 0.001348, -0.000607],
        "k1": -0.369112,
        "exposure_ms": 12,
    }
    content = json.dumps(document, separators=(",", ":")).encode()
    assert cleanse_json(content, analyzer=analyzer, profile=text_profile).content == content


BAD_JSON = {
    "empty": (b"", "malformed"),
    "truncated": (b'{"weather": "rain', "malformed"),
    "trailing_comma": (b'{"weather": 1,}', "malformed"),
    "single_quotes": (b"{'weather': 1}", "malformed"),
    "two_documents": (b"{} {}", "malformed"),
    "nan": (b'{"weather": [1, NaN]}', "NaN"),
    "infinity": (b'{"weather": -Infinity}', "Infinity"),
    "overflow": (b'{"weather": 1e999}', "binary64"),
    "endless_integer": (b'{"weather": ' + b"9" * 5000 + b"}", "5000 digits"),
    "duplicate": (
        b'{"weather": 1, "notes": {"a": 1, "a": 2}}',
        "duplicate key .got member 1 of the object at /1",
    ),
    "not_utf8": (b'{"weather": "\xff"}', "offset 13"),
    "lone_surrogate": (b'{"weather": "\\ud800"}', "lone surrogate"),
    "control": (b'{"weather": "a\\u0000"}', "U.0000 at character 1 of the string at /weather"),
}


@pytest.mark.parametrize("case", BAD_JSON.values(), ids=BAD_JSON.keys())
def test_bad_json_is_refused_by_name(analyzer, text_profile, case):
    content, message = case
    with pytest.raises(MalformedItemError, match=message):
        cleanse_json(content, analyzer=analyzer, profile=text_profile)


def test_deep_json_is_refused(analyzer, text_profile):
    content = b"[" * 100_000
    with pytest.raises(LimitExceededError, match="more than 32 levels at character 32"):
        cleanse_json(content, analyzer=analyzer, profile=text_profile)


def test_an_unterminated_string_of_escapes_is_refused_quickly(analyzer, text_profile):
    with pytest.raises(MalformedItemError):
        cleanse_json(b'["' + b'\\"' * 500_000, analyzer=analyzer, profile=text_profile)


@pytest.mark.parametrize("content", [CALIBRATION, LABELS], ids=["calibration", "labels"])
def test_number_tables_survive(analyzer, text_profile, content):
    assert text_of(cleanse_text(content.encode(), analyzer=analyzer, profile=text_profile)) == content


def test_kitti_tables_survive_byte_for_byte(analyzer, text_profile, shared_data):
    files = sorted((shared_data / "formats/kitti_object").glob("[cl]*/*.txt"))
    assert files
    for file in files:
        content = file.read_bytes()
        treated = cleanse_text(content, analyzer=analyzer, profile=text_profile)
        assert treated.content == content, file.name
        assert scan_text(content, "text/plain", profile=text_profile).clean


def test_real_nmea_and_tracks_are_emptied(analyzer, text_profile, shared_data):
    content = (shared_data / "formats/nmea/data.log").read_bytes()
    out = text_of(cleanse_text(content, analyzer=analyzer, profile=text_profile))
    assert "1929.045" not in out
    assert "foobar" in out


def test_inspection_counts_without_content(analyzer, text_profile):
    facts = inspect_text(REPORT.encode(), ItemKind.TEXT, analyzer=analyzer, profile=text_profile)
    assert facts["tags"] == ["PLATE", "TRACK"]
    assert facts["classes"] == ["TRAJ_ABS", "VEH_ID"]
    assert facts["personal"]
    assert facts["sensitive_personal"]
    assert facts["findings"]["vin"] == 1
    assert not [secret for secret in SECRETS if secret in json.dumps(facts, ensure_ascii=False)]


def test_inspection_of_json_sees_labelled_numbers(analyzer, text_profile):
    content = json.dumps({"gps": {"lat": 39.9, "lon": 116.4}, "weather": "rain"}).encode()
    facts = inspect_text(content, ItemKind.JSON, analyzer=analyzer, profile=text_profile)
    assert facts["tags"] == ["TRACK"]
    with pytest.raises(MalformedItemError, match="got gpx"):
        inspect_text(content, ItemKind.GPX, analyzer=analyzer, profile=text_profile)


def test_one_analyzer_serves_threads(analyzer, text_profile):
    expected = cleanse_text(REPORT.encode(), analyzer=analyzer, profile=text_profile)
    barrier = threading.Barrier(4)

    def work(_):
        barrier.wait()
        return [cleanse_text(REPORT.encode(), analyzer=analyzer, profile=text_profile) for _ in range(5)]

    with ThreadPoolExecutor(4) as pool:
        for results in pool.map(work, range(4)):
            assert results == [expected] * 5


def test_the_digest_is_stable_and_names_the_detector(analyzer, text_profile):
    again = TextAnalyzer(text_profile)
    assert again.digest == analyzer.digest
    assert analyzer.find("13800138000")[0].detector == f"presidio-zh@{analyzer.digest[:12]}"


OFFLINE = """
import pathlib, socket, sys, tempfile
def refuse(*_, **__):
    raise AssertionError("the network was called")
socket.socket.connect = socket.socket.connect_ex = refuse
socket.getaddrinfo = socket.create_connection = refuse
tempfile.tempdir = sys.argv[1]
from anonymize.profile import shipped_profile
from anonymize.text.analyzer import TextAnalyzer
from anonymize.text.cleanse import cleanse_text
profile = shipped_profile("cn-2026").profile.text
analyzer = TextAnalyzer(profile)
text = "驾驶员王小明 13800138000 zhang@example.com".encode()
print(cleanse_text(text, analyzer=analyzer, profile=profile).content.decode())
"""


def test_nothing_calls_the_network_or_writes_files(tmp_path):
    """Law 3: jieba's cache and tldextract's download are both avoided, also in a fresh process."""
    spool, home = tmp_path / "spool", tmp_path / "home"
    spool.mkdir()
    home.mkdir()
    ran = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", OFFLINE, str(spool)],
        capture_output=True,
        check=False,
        cwd=Path(__file__).parents[3],
        env={"HOME": str(home), "TMPDIR": str(spool), "PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": "1"},
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr.decode()
    assert ran.stdout.decode().strip() == "驾驶员<PERSON_NAME> <PHONE> <EMAIL>"
    assert ran.stderr == b""
    assert [path for folder in (spool, home) for path in folder.rglob("*")] == []


def test_sockets_are_not_needed_in_this_process(analyzer, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("the network was called")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert analyzer.find("zhang@example.com")
