# ruff: noqa: E501, PLR2004 - an expression reads best on one line; numbers are those of the notations
"""Rules for vehicles and devices: plates, VIN, network addresses, device numbers."""

import ipaddress
import re

from anonymize.finding import FindingKind
from anonymize.text import checksums
from anonymize.text.rule import A0, A1, D0, D1, NO_NUMBER, Rule

PROVINCES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"

_VIN_WORDS = r"\bvin\b|\bvin_|_vin\b|车架号|车辆识别|识别代号|底盘号|大架号|chassis|vehicle id"
_PLATE_WORDS = r"车牌|牌照|号牌|车号|plate|registration|licen[cs]e no"
_DEVICE_WORDS = (
    r"设备号|设备编号|设备ID|终端号|终端编号|车机号|序列号|出厂编号|\bs/?n\b|serial|device[ _\-]?(?:id|no|number|sn)|"
    r"\bt-?box|imei|imsi|iccid|\bmeid\b|android[ _]id|\bidfa\b|\boaid\b|\bmuid\b|\bgumi\b|hardware[ _]id|unit[ _]id|"
    r"ecu[ _]?(?:id|no)|asset[ _]?(?:id|tag)"
)
_VERSION = r"(?:\bv|version|ver\.?|版本号?|firmware|固件|release|revision)[ :=\"'为]{0,3}"
_SEPARATOR = r"[·. \-_]?"
_NOT_ALPHANUMERIC = re.compile(r"[^0-9A-Za-z]")


def is_vin(text: str) -> bool:
    """Whether the text, separators aside, carries a valid check digit."""
    return checksums.is_vin(_NOT_ALPHANUMERIC.sub("", text))


def is_plate_serial(text: str) -> bool:
    """A Chinese serial holds at least two digits (letters alone are words)."""
    return sum(c.isdigit() for c in text) >= 2


def is_mixed(text: str) -> bool:
    """Both letters and digits, as plates and serial numbers of any country have."""
    return any(c.isdigit() for c in text) and any(c.isascii() and c.isalpha() for c in text)


def has_digits(text: str) -> bool:
    """At least three digits."""
    return sum(c.isdigit() for c in text) >= 3


def is_ip(text: str) -> bool:
    """An address, and in compressed notation of IPv6 not just a scope such as ``a::b``."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return (
        address.version == 4 or sum(map(bool, text.split(":"))) >= 3 or text[:2].lower() in {"fe", "fd", "fc"}
    )


def is_luhn(text: str) -> bool:
    """Whether the digits pass Luhn."""
    return checksums.is_luhn(_NOT_ALPHANUMERIC.sub("", text))


RULES = (
    Rule(
        name="vin",
        kind=FindingKind.VIN,
        needs=r"[A-Za-z0-9]{17}",
        pattern=A0 + NO_NUMBER + r"[A-HJ-NPR-Z0-9]{8}[0-9X][A-HJ-NPR-Z0-9]{8}" + A1,
        score=0.95,
        context=_VIN_WORDS,
        context_score=1.0,
        check=is_vin,
        failed_context_score=0.8,
    ),
    Rule(
        name="vin_grouped",
        kind=FindingKind.VIN,
        needs=r"[A-Z0-9][ \-][A-Z0-9]",
        pattern=A0 + r"(?-i:[A-HJ-NPR-Z0-9](?:[ \-]?[A-HJ-NPR-Z0-9]){12}(?:[ \-]?[0-9]){4})" + A1,
        score=0.8,
        context=_VIN_WORDS,
        context_score=0.95,
        check=is_vin,
        failed_context_score=0.7,
    ),
    Rule(
        name="vin_european",
        kind=FindingKind.VIN,
        needs=r"[A-Z0-9]{13}[0-9]{4}",
        pattern=A0 + r"(?-i:[S-Z][A-HJ-NPR-Z][A-HJ-NPR-Z0-9]{11}[0-9]{4})" + A1,
        score=0.45,
        context=_VIN_WORDS,
        context_score=0.9,
        check=has_digits,
    ),
    Rule(
        name="vin_by_context",
        kind=FindingKind.VIN,
        needs=r"[A-Za-z0-9]{17}",
        pattern=A0 + NO_NUMBER + r"[A-HJ-NPR-Z0-9]{17}" + A1,
        score=0.0,
        context=_VIN_WORDS,
        context_score=0.75,
        check=has_digits,
        failed_context_score=0.0,
    ),
    Rule(
        name="plate",
        kind=FindingKind.PLATE,
        pattern=rf"[{PROVINCES}][ ]?[A-Z]{_SEPARATOR}(?:[A-Z0-9]{{4}}(?:[A-Z0-9]|[挂学警港澳领使试超临])"
        rf"|[0-9]{{3,4}}应急)(?:临|试|超)?" + A1,
        score=0.85,
        context=_PLATE_WORDS,
        context_score=0.95,
        check=is_plate_serial,
        failed_context_score=0.6,
    ),
    Rule(
        name="plate_new_energy",
        kind=FindingKind.PLATE,
        pattern=rf"[{PROVINCES}][ ]?[A-Z]{_SEPARATOR}(?:[A-HJK][A-HJ-NP-Z0-9][0-9]{{4}}|[0-9]{{5}}[A-HJK])"
        + A1,
        score=0.95,
    ),
    Rule(
        name="plate_spaced",
        kind=FindingKind.PLATE,
        pattern=rf"[{PROVINCES}](?:[ ·.\-][A-Z0-9]){{6,7}}" + A1,
        score=0.6,
        check=is_plate_serial,
    ),
    Rule(
        name="plate_armed_police",
        kind=FindingKind.PLATE,
        pattern=A0
        + rf"WJ{_SEPARATOR}(?:[0-9]{{2}}|[{PROVINCES}])?{_SEPARATOR}[0-9A-Z]?[0-9]{{4}}[0-9A-Z消边通森金警电]?"
        + A1,
        score=0.7,
    ),
    Rule(
        name="plate_military",
        kind=FindingKind.PLATE,
        pattern=A0 + r"[VKHBSLJNGCEFTZ][A-Z]·[0-9]{5}" + A1,
        score=0.7,
    ),
    Rule(
        name="plate_military_by_context",
        kind=FindingKind.PLATE,
        pattern=A0
        + r"[VKHBSLJNGCEFTZ][A-Z][ \-]?[0-9]{5}"
        + A1
        + r"|[军空海北沈兰济南广成][A-Z][ ·\-]?[0-9]{5}",
        score=0.0,
        context=_PLATE_WORDS + r"|军车|军牌|部队",
        context_score=0.8,
    ),
    Rule(
        name="plate_embassy",
        kind=FindingKind.PLATE,
        needs="[使领]",
        pattern=r"使[ ·]?[0-9]{6}(?![0-9])|(?<![0-9])[0-9]{3}[ ·]?[0-9]{3}使|"
        rf"[{PROVINCES}]?[ ·]?[A-Z]?[ ·]?[0-9]{{4,6}}领(?!导|先|取|域|队|土|证)|领[ ·]?[0-9]{{6}}(?![0-9])",
        score=0.7,
    ),
    Rule(
        name="plate_by_context",
        kind=FindingKind.PLATE,
        pattern=r"(?:车牌号?码?|牌照|号牌|licen[cs]e plate|number plate|plate(?: (?:no|number|text))?|registration)\.?"
        r"[ \"'_]{0,2}(?:[:=#为是]|is)?[ \"']{0,2}(?P<v>[A-Z0-9]{1,4}(?:[ \-·.]?[A-Z0-9]{1,5}){1,2})" + A1,
        score=0.65,
        check=is_mixed,
    ),
    Rule(
        name="ipv4",
        kind=FindingKind.IP_ADDRESS,
        pattern=r"(?<![0-9A-Za-z.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![0-9A-Za-z])(?!\.[0-9])",
        score=0.85,
        check=is_ip,
        unless=_VERSION,
    ),
    Rule(
        name="ipv6",
        kind=FindingKind.IP_ADDRESS,
        pattern=r"(?<![0-9A-Za-z:.])(?:[0-9a-f]{0,4}:){2,7}(?:[0-9a-f]{1,4}|(?:[0-9]{1,3}\.){3}[0-9]{1,3})(?![0-9A-Za-z:])",
        score=0.85,
        check=is_ip,
    ),
    Rule(
        name="mac",
        kind=FindingKind.DEVICE_ID,
        needs=r"[0-9A-Fa-f]{2}[:\-][0-9A-Fa-f]{2}[:\-]",
        pattern=r"(?<![0-9A-Za-z:\-])(?:[0-9a-f]{2}([:\-]))(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}(?:\1[0-9a-f]{2}){0,2}(?![0-9A-Za-z:\-])",
        score=0.85,
    ),
    Rule(
        name="mac_by_context",
        kind=FindingKind.DEVICE_ID,
        pattern=A0 + r"(?:[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}|[0-9a-f]{12})" + A1,
        score=0.0,
        context=r"\bmac\b|mac ?addr|mac地址|物理地址|bssid|bluetooth|蓝牙",
        context_score=0.75,
    ),
    Rule(
        name="imei",
        kind=FindingKind.DEVICE_ID,
        pattern=D0 + r"[0-9]{2}[ \-]?[0-9]{6}[ \-]?[0-9]{6}[ \-]?[0-9]" + D1,
        score=0.0,
        context=r"imei|meid|手机串号|串号",
        context_score=0.9,
        check=is_luhn,
        failed_context_score=0.7,
    ),
    Rule(
        name="uuid",
        kind=FindingKind.DEVICE_ID,
        pattern=A0 + r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}" + A1,
        score=0.6,
    ),
    Rule(
        name="device_by_context",
        kind=FindingKind.DEVICE_ID,
        pattern=rf"(?:{_DEVICE_WORDS})(?:[ _]?(?:no|number|num|号码?|码|为|是))?\.?[ \"']{{0,2}}[:=#]?[ \"']{{0,2}}"
        r"(?P<v>[A-Za-z0-9](?:[A-Za-z0-9\-_:/.]{3,62})[A-Za-z0-9])" + A1,
        score=0.75,
        check=has_digits,
    ),
)
