# ruff: noqa: E501 - an expression reads best on one line
"""Rules for absolute time: calendar dates, instants, counts since an epoch."""

from datetime import UTC, datetime

from anonymize.finding import FindingKind
from anonymize.text.rule import D0, D1, Rule

_YEAR = "(?:19|20)[0-9]{2}"
_MONTH = "(?:0?[1-9]|1[0-2])"
_DAY = r"(?:0?[1-9]|[12][0-9]|3[01])"
_CLOCK = r"(?:[01]?[0-9]|2[0-4])[:.][0-5][0-9](?:[:.][0-6][0-9](?:[.,][0-9]{1,9})?)?(?: ?(?:am|pm))?"
_ZONE = r"(?: ?(?:Z|UTC|GMT|CST|(?:UTC|GMT)?[+\-][0-9]{2}:?(?:[0-9]{2})?))?(?![0-9])"
_MONTHS = r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sep(?:t(?:ember)?)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
_HOUR_HAN = r"(?:[ ]?(?:凌晨|早上|早晨|上午|中午|下午|傍晚|晚上|晚|夜间)?[ ]?[0-9]{1,2}(?:[:点时][0-9]{0,2}(?:[:分][0-9]{0,2})?秒?|点|时)(?:整|半)?)?"
_TIME_WORDS = r"time|stamp|\bts\b|_ts\b|epoch|unix|utc|时间|时刻|戳|日期|date|采集|录制|记录于|recorded|captured|created|开始于|结束于|\bsec|nsec|\bns\b|\bms\b"
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC).timestamp()
_LATEST = datetime(2070, 1, 1, tzinfo=UTC).timestamp()


def is_epoch(text: str) -> bool:
    """A count of s, ms, µs or ns since 1970 that falls into 2000-2069."""
    count = float(text)
    return any(_EARLIEST <= count / scale < _LATEST for scale in (1.0, 1e3, 1e6, 1e9))


def is_compact_date(text: str) -> bool:
    """Eight digits that are a day of the calendar."""
    digits = "".join(c for c in text if c.isdigit())[:8]
    try:
        datetime.strptime(digits, "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        return False
    return True


RULES = (
    Rule(
        name="iso_8601",
        kind=FindingKind.TIMESTAMP,
        pattern=D0
        + rf"{_YEAR}(?:-{_MONTH}-{_DAY}|/{_MONTH}/{_DAY})(?:(?:[T_]| {{1,2}}){_CLOCK}{_ZONE})?(?![0-9])",
        score=0.85,
    ),
    Rule(
        name="file_stamp",
        kind=FindingKind.TIMESTAMP,
        pattern=D0
        + rf"{_YEAR}[.\-_]{_MONTH}[.\-_]{_DAY}(?:[ T_\-]{{1,2}}[0-2]?[0-9][:.\-_][0-5][0-9](?:[:.\-_][0-6][0-9](?:[.,][0-9]{{1,9}})?)?)"
        + _ZONE,
        score=0.8,
    ),
    Rule(
        name="dotted_date",
        kind=FindingKind.TIMESTAMP,
        pattern=r"(?<![0-9A-Za-z.])" + rf"{_YEAR}\.{_MONTH}\.{_DAY}" + r"(?![0-9A-Za-z])(?!\.[0-9])",
        score=0.5,
        unless=r"(?:\bv|version|ver\.?|版本号?|firmware|固件|release|revision|build)[ :=\"'为]{0,3}",
    ),
    Rule(
        name="compact",
        kind=FindingKind.TIMESTAMP,
        pattern=D0
        + r"20[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?:[T_\- ]?(?:[01][0-9]|2[0-4])[0-5][0-9](?:[0-6][0-9](?:\.?[0-9]{1,9})?)?)?Z?"
        + D1,
        score=0.55,
        context=_TIME_WORDS,
        context_score=0.85,
        check=is_compact_date,
    ),
    Rule(
        name="chinese_date",
        kind=FindingKind.TIMESTAMP,
        needs="[日号]",
        pattern=r"(?:(?:(?<![0-9])(?:19|20)?[0-9]{2}|[二〇零一九][〇零一二三四五六七八九0]{3})[ ]?年[ ]?)?"
        rf"(?<![0-9])(?:{_MONTH}|[一二三四五六七八九十]{{1,2}})[ ]?月[ ]?(?:{_DAY}|[一二三四五六七八九十]{{1,3}})[ ]?[日号]{_HOUR_HAN}",
        score=0.8,
    ),
    Rule(
        name="chinese_month",
        kind=FindingKind.TIMESTAMP,
        pattern=rf"(?<![0-9])(?:19|20)[0-9]{{2}}[ ]?年[ ]?{_MONTH}[ ]?月(?:份)?",
        score=0.55,
    ),
    Rule(
        name="english_date",
        kind=FindingKind.TIMESTAMP,
        needs=r"(?:19|20)[0-9]{2}(?![0-9])",
        pattern=rf"(?<![A-Za-z])(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]{{0,6}},? )?(?:{_MONTHS}\.? {{1,2}}{_DAY}(?:st|nd|rd|th)?(?:,? {{1,2}}{_CLOCK})?,? {_YEAR}"
        rf"|{_DAY}(?:st|nd|rd|th)?[ \-]{_MONTHS}\.?,?[ \-]{_YEAR})(?:,? {{1,2}}(?:at )?{_CLOCK}{_ZONE})?(?![0-9])",
        score=0.8,
    ),
    Rule(
        name="log_stamp",
        kind=FindingKind.TIMESTAMP,
        needs=r"[0-9]:[0-9]{2}:[0-9]",
        pattern=rf"(?<![A-Za-z]){_MONTHS} {{1,2}}{_DAY} [0-2][0-9]:[0-5][0-9]:[0-6][0-9](?:\.[0-9]{{1,9}})?",
        score=0.8,
    ),
    Rule(
        name="day_first",
        kind=FindingKind.TIMESTAMP,
        needs=r"[/.\-](?:19|20)[0-9]{2}(?![0-9])",
        pattern=r"(?<![0-9A-Za-z.])"
        rf"(?:{_DAY}/{_DAY}/{_YEAR}|{_DAY}\.{_MONTH}\.{_YEAR}|{_DAY}-{_MONTH}-{_YEAR})(?:,? {{1,2}}{_CLOCK}{_ZONE})?"
        r"(?![0-9A-Za-z])(?!\.[0-9])",
        score=0.6,
    ),
    Rule(
        name="epoch_exact",
        kind=FindingKind.TIMESTAMP,
        pattern=D0 + r"(?:1[0-9]{18}|1[0-9]{15}|1[0-9]{12})(?:\.[0-9]{1,6})?" + r"(?![0-9])(?!e[+-]?[0-9])",
        score=0.5,
        context=_TIME_WORDS,
        context_score=0.85,
        check=is_epoch,
    ),
    Rule(
        name="epoch_seconds",
        kind=FindingKind.TIMESTAMP,
        pattern=D0 + r"1[0-9]{9}\.[0-9]{2,12}(?![0-9])(?!e[+-]?[0-9])",
        score=0.55,
        context=_TIME_WORDS,
        context_score=0.85,
        check=is_epoch,
    ),
    Rule(
        name="epoch_cell",
        kind=FindingKind.TIMESTAMP,
        pattern=r"(?:^|(?<=[,;\t|]))[ ]?(?P<v>1[0-9]{9}(?:\.[0-9]{1,12})?)(?=[ ]?[,;\t|]|[ ]?\r?$)",
        score=0.5,
        context=_TIME_WORDS,
        context_score=0.85,
        check=is_epoch,
    ),
    Rule(
        name="epoch_by_context",
        kind=FindingKind.TIMESTAMP,
        pattern=D0 + r"(?:9[4-9][0-9]{7}|[12][0-9]{9})" + D1,
        score=0.0,
        context=_TIME_WORDS,
        context_score=0.75,
        check=is_epoch,
    ),
)
