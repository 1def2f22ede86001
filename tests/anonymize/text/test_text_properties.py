"""Properties of cleansing over generated input."""

import json
import string
from datetime import date

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anonymize.errors import AnonymizeError
from anonymize.finding import TextSpan
from anonymize.text import checksums
from anonymize.text.cleanse import cleanse_json, cleanse_text
from anonymize.text.fold import fold
from anonymize.text.redact import redact
from anonymize.text.residual import scan_text

quick = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

WORDS = [
    "时间", "电话：", "sn: ", "lat ", "坐标", "VIN ", "车牌", "身份证", "账号", "IMEI ", "2024-",
    "138", "00138", "000", " ", "-", "京A", "12345", "张伟", "先生", "39.904211", ",",
    "116.407395", "<PHONE>", "<", ">", "%", "号", "中关村大街", "27", "\n", "driver: ",
    "John ", "Smith ", "10.0.0.1", "@a.com", "$GPGGA,", "°", "'", "N", "年", "5月1日",
    "1714552215", "x", "。", "１３８", "\u200b", "·", "e+02", ".", "timestamp ",
    "11010519491231002X", "1HGCM82633A004352",
]  # fmt: skip

pieces = st.lists(st.sampled_from(WORDS) | st.text(max_size=4), min_size=1, max_size=14).map("".join)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | pieces,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["notes", "Weather", "fx", "vin", "13800138000", "objects"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@quick
@given(content=st.binary(max_size=200))
def test_any_bytes_give_text_or_a_named_error(analyzer, text_profile, content):
    for cleanse in (cleanse_text, cleanse_json):
        try:
            cleanse(content, analyzer=analyzer, profile=text_profile).content.decode()
        except AnonymizeError as error:
            assert str(error)  # noqa: PT017 - either outcome is right


@quick
@given(text=pieces)
def test_cleansing_text_twice_changes_nothing(analyzer, text_profile, text):
    try:
        once = cleanse_text(text.encode("utf-8", "replace"), analyzer=analyzer, profile=text_profile)
    except AnonymizeError:
        return
    twice = cleanse_text(once.content, analyzer=analyzer, profile=text_profile)
    assert twice.content == once.content
    assert twice.findings == ()


@quick
@given(value=json_values)
def test_cleansing_json_twice_changes_nothing(analyzer, text_profile, value):
    try:
        once = cleanse_json(json.dumps(value).encode(), analyzer=analyzer, profile=text_profile)
    except AnonymizeError:
        return
    twice = cleanse_json(once.content, analyzer=analyzer, profile=text_profile)
    assert twice.content == once.content
    assert twice.facts["findings"] == {}
    assert scan_text(once.content, "application/json", profile=text_profile).clean


@quick
@given(text=pieces)
def test_spans_delimit_the_original_and_what_lies_between_survives(analyzer, text):
    redacted = redact(text, analyzer)
    position, rest = 0, []
    for finding in redacted.findings:
        assert isinstance(finding.where, TextSpan)
        assert position <= finding.where.start < finding.where.end <= len(text)
        rest.append(text[position : finding.where.start] + f"<{finding.kind.name}>")
        position = finding.where.end
    assert "".join(rest) + text[position:] == redacted.text


@quick
@given(text=st.text(max_size=60))
def test_folding_maps_back_within_the_original(text):
    folded = fold(text)
    for index in range(len(folded.text)):
        start, end = folded.origin(index, index + 1)
        assert 0 <= start < end <= len(text)


def digits(size):
    return st.text(alphabet=string.digits, min_size=size, max_size=size)


@st.composite
def resident_ids(draw):
    area = draw(st.sampled_from(["110105", "310101", "440305", "620105"]))
    born = draw(st.dates(min_value=date(1930, 1, 1))).strftime("%Y%m%d")
    if born > "20991231":
        born = "19491231"
    body = area + born + draw(digits(3))
    return next(body + check for check in "0123456789X" if checksums.is_resident_id(body + check))


@st.composite
def cards(draw):
    body = "622202" + draw(digits(12))
    return next(body + check for check in string.digits if checksums.is_luhn(body + check))


@st.composite
def vins(draw):
    head = "LSV" + draw(st.text(alphabet="ABCDEFGHJKLMNPRSTUVWXYZ0123456789", min_size=5, max_size=5))
    tail = draw(st.text(alphabet="ABCDEFGHJKLMNPRSTUVWXYZ0123456789", min_size=4, max_size=4)) + draw(
        digits(4)
    )
    return next(head + check + tail for check in "0123456789X" if checksums.is_vin(head + check + tail))


phones = st.builds(lambda head, tail: f"1{head}{tail}", st.sampled_from("3456789"), digits(9))
plates = st.builds(
    lambda a, b, c: f"{a}{b}·{c}", st.sampled_from("京沪粤川"), st.sampled_from("ABCDE"), digits(5)
)
around = st.text(alphabet="雨天路面 ，。:：abcxyz\n(（\"'", max_size=12)


@quick
@given(secret=resident_ids() | cards() | vins() | phones | plates, before=around, after=around)
def test_generated_numbers_never_survive_in_any_surroundings(analyzer, text_profile, secret, before, after):
    if after[:1].isalpha() and after[:1].isascii():
        after = " " + after
    if before[-1:].isalpha() and before[-1:].isascii():
        before += " "
    treated = cleanse_text(f"{before}{secret}{after}".encode(), analyzer=analyzer, profile=text_profile)
    assert secret not in treated.content.decode()
    assert scan_text(treated.content, treated.media_type, profile=text_profile, planted=[secret]).clean
