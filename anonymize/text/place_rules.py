# ruff: noqa: E501, PLR2004 - an expression reads best on one line; numbers are those of the notations
"""Rules for places: coordinates in every notation, postal addresses."""

import re

from anonymize.finding import FindingKind
from anonymize.text.rule import A0, A1, D0, D1, Rule

_PLACE_WORDS = (
    r"坐标|经纬|纬度|经度|北纬|南纬|东经|西经|位置|定位|地点|gps|gnss|wgs|gcj|bd-?09|coord|\blat|\blon|\blng|locat|position|"
    r"waypoint|geo|ins\b|rtk|latlon|linestring|point|经过|途经"
)
_ADDRESS_WORDS = (
    r"地址|住址|住在|家住|位于|住所|送至|前往|抵达|到达|出发|起点|终点|途经|路过|停在|行至|address|resid"
)
_NUMBER = r"[+\-]?[0-9]{1,3}\.[0-9]"
_HAN = "[\u4e00-\u9fff]"
_FUNCTION = "[在于到从往至位住去经是的和与了过由沿对向将把被]"
_REGIONS = (
    "北京|天津|上海|重庆|河北|山西|辽宁|吉林|黑龙江|江苏|浙江|安徽|福建|江西|山东|河南|湖北|湖南|广东|海南|四川|贵州|云南|陕西|"
    "甘肃|青海|台湾|内蒙古|广西|西藏|宁夏|新疆|香港|澳门"
)
_ADMIN = (
    rf"(?:(?:{_REGIONS})(?:省|市|自治区|壮族自治区|回族自治区|维吾尔自治区|特别行政区)?"
    rf"|(?!{_FUNCTION}){_HAN}{{2,6}}?(?:市|自治州|地区|盟))"
)
_DISTRICT = rf"{_HAN}{{1,6}}?(?:自治县|新区|开发区|高新区|区|县|旗)"
_ROAD = rf"{_HAN}{{1,9}}?(?:大道|大街|公路|环路|胡同|路|街|巷|弄|道)(?:东|西|南|北|中|辅路|[东西南北中]?段)?"
_DOOR = (
    r"(?:[0-9]{1,5}|[一二三四五六七八九十百零]{1,6})(?:-[0-9]{1,4})?号"
    rf"(?:院|楼|弄)?(?:{_HAN}{{0,8}}?(?:大厦|广场|小区|花园|公寓|中心|园))?(?:[0-9A-Za-z一二三四五六七八九十]{{1,4}}(?:号楼|栋|座|幢|单元|层|楼|室|户|房)){{0,4}}"
)
_PAIR = re.compile(r"[+\-]?[0-9]+(?:\.[0-9]+)?")


def is_position(text: str) -> bool:
    """Two numbers that can be a latitude and a longitude in either order; not rotation or distortion values."""
    a, b = _first_two(text)
    fits = (abs(a) <= 90 and abs(b) <= 180) or (abs(a) <= 180 and abs(b) <= 90)
    return fits and max(abs(a), abs(b)) >= 2.0


def is_position_in_china(text: str) -> bool:
    """Two numbers that lie within 3-54° N, 73-136° E in either order."""
    low, high = sorted(_first_two(text))
    return 3.0 <= low <= 54.0 and 73.0 <= high <= 136.0


def is_e7_position(text: str) -> bool:
    """An integer in 1e-7 degrees (or 1e-6) that can be a coordinate."""
    return 1_000_000 <= abs(int(text)) <= 1_800_000_000


def holds_digit(text: str) -> bool:
    """At least one digit."""
    return any(c.isdigit() for c in text)


def _first_two(text: str) -> tuple[float, float]:
    numbers = [float(found) for found in _PAIR.findall(text)[:2]]
    return numbers[0], numbers[1]


RULES = (
    Rule(
        name="nmea",
        kind=FindingKind.POSITION,
        pattern=r"[$!](?:[A-Z]{2}[A-Z]{3}|P[A-Z]{3,8}),[^\s$!\"<>\ufffc]{0,160}",
        score=0.95,
    ),
    Rule(
        name="nmea_fields",
        kind=FindingKind.POSITION,
        pattern=r"(?<![0-9.])[0-9]{3,4}\.[0-9]{1,8},[NS],[0-9]{4,5}\.[0-9]{1,8},[EW]" + A1,
        score=0.9,
    ),
    Rule(
        name="degrees_minutes",
        kind=FindingKind.POSITION,
        needs=r"[°度]",
        pattern=r"(?:[NSEW][ ]?)?(?<![0-9.])[0-9]{1,3}(?:\.[0-9]{1,9})?[ ]?[°度][ ]?"
        r"[0-9]{1,2}(?:\.[0-9]{1,9})?[ ]?['分](?:[ ]?[0-9]{1,2}(?:\.[0-9]{1,9})?[ ]?(?:\"|''|秒))?(?:[ ]?[NSEW]"
        + A1
        + r")?",
        score=0.85,
    ),
    Rule(
        name="degrees_hemisphere",
        kind=FindingKind.POSITION,
        needs=r"[°度]|[0-9] ?[NSEW](?![A-Za-z])|(?<![A-Za-z])[NSEW] ?[0-9]",
        pattern=r"(?-i:(?<![0-9.])[0-9]{1,3}(?:\.[0-9]{1,12})?[ ]?[°度][ ]?[NSEW](?![0-9A-Za-z])"
        r"|(?<![0-9.A-Za-z])[NSEW][ ]?[0-9]{1,3}\.[0-9]{2,12}[°度]?(?![0-9])"
        r"|(?<![0-9.])[0-9]{1,3}\.[0-9]{2,12}[ ]?[NSEW](?![0-9A-Za-z+\-]))",
        score=0.8,
    ),
    Rule(
        name="labelled",
        kind=FindingKind.POSITION,
        pattern=r"(?:(?<![A-Za-z])(?:gps[_ ]?|geo[_ ]?|wgs84[_ ]?|start[_ ]?|end[_ ]?)?(?:lat|latitude|lon|lng|longitude)(?:_?(?:deg|e7))?"
        r"(?![A-Za-z])|纬度|经度|北纬|南纬|东经|西经)[ \"']{0,3}(?:[:=为是]|约)?[ \"']{0,3}(?P<v>[+\-]?[0-9]{1,11}(?:\.[0-9]{1,15})?)(?![0-9])(?!\.[0-9])",
        score=0.85,
    ),
    Rule(
        name="labelled_long",
        kind=FindingKind.POSITION,
        pattern=r"(?<![A-Za-z])(?:long|altitude_lat|x_lon|y_lat)[ \"']{0,3}[:=][ \"']{0,3}(?P<v>[+\-]?[0-9]{1,3}\.[0-9]{3,15})",
        score=0.7,
    ),
    Rule(
        name="well_known_text",
        kind=FindingKind.POSITION,
        pattern=r"(?:multi)?(?:point|linestring|polygon)[ ]?(?:z|m|zm)?[ ]?\([0-9.,+\-() ]{3,400}\)?",
        score=0.85,
        check=holds_digit,
    ),
    Rule(
        name="link",
        kind=FindingKind.POSITION,
        pattern=r"(?:geo:|(?<=[/?&;])@?(?:ll|q|sll|cbll|center|location|coord|dest|loc|marker|position|)[=:]?@?)"
        r"(?P<v>[+\-]?[0-9]{1,3}\.[0-9]{2,15}(?:,|%2c)[+\-]?[0-9]{1,3}\.[0-9]{2,15})",
        score=0.85,
    ),
    Rule(
        name="decimal_pair",
        kind=FindingKind.POSITION,
        pattern=rf"(?<![0-9.])(?<![0-9.][,;/ ])(?<![0-9.][,;/][ ]){_NUMBER}[0-9]{{3,15}}[°度]?[ ]?[,;/|、][ ]?{_NUMBER}[0-9]{{3,15}}[°度]?"
        r"(?![0-9])(?!e[+\-]?[0-9])(?![ ]?[,;/][ ]?[+\-]?[0-9.]{1,20}[ ]?[,;/][ ]?[+\-]?[0-9])",
        score=0.6,
        context=_PLACE_WORDS,
        context_score=0.9,
        check=is_position,
    ),
    Rule(
        name="decimal_pair_spaced",
        kind=FindingKind.POSITION,
        pattern=rf"(?<![0-9.])(?<![0-9.][ \t]){_NUMBER}[0-9]{{4,15}}[ \t]{{1,3}}{_NUMBER}[0-9]{{4,15}}(?![0-9])(?!e[+\-]?[0-9])(?![ \t]{{1,3}}[+\-]?[0-9])",
        score=0.5,
        context=_PLACE_WORDS,
        context_score=0.85,
        check=is_position,
    ),
    Rule(
        name="decimal_pair_in_row",
        kind=FindingKind.POSITION,
        pattern=rf"(?<![0-9.]){_NUMBER}[0-9]{{4,15}}[ ]?[,;/| \t][ ]?{_NUMBER}[0-9]{{4,15}}(?![0-9])(?!e[+\-]?[0-9])",
        score=0.5,
        context=_PLACE_WORDS,
        context_score=0.85,
        check=is_position_in_china,
    ),
    Rule(
        name="decimal_pair_by_context",
        kind=FindingKind.POSITION,
        pattern=rf"(?<![0-9.]){_NUMBER}[0-9]{{0,15}}[°度]?[ ]?[,;/|、 \t][ ]?{_NUMBER}[0-9]{{0,15}}(?![0-9])(?!e[+\-]?[0-9])",
        score=0.0,
        context=r"坐标|经纬|gps|gnss|wgs|gcj|bd-?09|coord|\blat|\blon|\blng|位置|定位|linestring",
        context_score=0.65,
        check=is_position,
    ),
    Rule(
        name="scaled_integer",
        kind=FindingKind.POSITION,
        pattern=D0 + r"-?[0-9]{7,10}" + D1,
        score=0.0,
        context=r"\blat|\blon|\blng|_lat|_lon|latitude|longitude|e7|纬度|经度|坐标|经纬",
        context_score=0.7,
        check=is_e7_position,
    ),
    Rule(
        name="projected",
        kind=FindingKind.POSITION,
        pattern=r"(?:easting|northing|utm(?:[ _]?(?:x|y|zone))?|ecef[ _]?[xyz]?|东坐标|北坐标|高斯坐标)[ \"']{0,2}[:=]?[ \"']{0,2}"
        r"(?:[0-9]{1,2}[A-Z]?[ ,:]{1,2})?(?P<v>-?[0-9]{5,8}(?:\.[0-9]{1,9})?(?:[ ,;]{1,2}-?[0-9]{5,8}(?:\.[0-9]{1,9})?){0,2})",
        score=0.8,
    ),
    Rule(
        name="grid_reference",
        kind=FindingKind.POSITION,
        needs=r"\+[23456789CFGHJMPQRVWXcfghjmpqrvwx]{2}|[0-9][C-Xc-x] ?[A-Za-z]{2}",
        pattern=A0
        + r"[0-9]{1,2}[C-HJ-NP-X][ ]?[A-HJ-NP-Z]{2}[ ]?(?:[0-9]{4}[ ]?[0-9]{4}|[0-9]{5}[ ]?[0-9]{5})"
        + A1
        + r"|"
        + A0
        + r"(?:[23456789CFGHJMPQRVWX]{8}|[23456789CFGHJMPQRVWX]{4})\+[23456789CFGHJMPQRVWX]{2,3}"
        + A1,
        score=0.6,
        check=holds_digit,
    ),
    Rule(
        name="address_with_number",
        kind=FindingKind.ADDRESS,
        needs="号",
        pattern=rf"(?:{_ADMIN})?(?:{_DISTRICT})?(?:{_HAN}{{1,6}}?(?:街道|镇|乡))?(?!{_FUNCTION}){_ROAD}{_DOOR}",
        score=0.75,
    ),
    Rule(
        name="address_administrative",
        kind=FindingKind.ADDRESS,
        needs="[区县旗]",
        pattern=rf"{_ADMIN}{_DISTRICT}(?:{_HAN}{{1,6}}?(?:街道|镇|乡|村))?(?:{_ROAD})?",
        score=0.55,
    ),
    Rule(
        name="address_building",
        kind=FindingKind.ADDRESS,
        needs="小区|花园|大厦|公寓|新村|家园|苑|村",
        pattern=rf"(?!{_FUNCTION}){_HAN}{{2,8}}(?:小区|花园|大厦|公寓|新村|家园|苑|村)[ ]?[0-9A-Za-z一二三四五六七八九十]{{1,4}}(?:号楼|号|栋|座|幢|单元|室|组)"
        r"(?:[0-9A-Za-z]{1,5}(?:号楼|栋|座|幢|单元|层|楼|室|户|房)){0,4}(?:[0-9]{2,4}室?)?",
        score=0.7,
    ),
    Rule(
        name="road_by_context",
        kind=FindingKind.ADDRESS,
        needs="[\u4e00-\u9fff]|(?i:address|resid)",
        pattern=rf"(?:{_ADDRESS_WORDS})[ :是为]{{0,2}}(?P<v>{_HAN}{{2,9}}?(?:大道|大街|公路|环路|胡同|路|街|巷|弄|村|镇|小区|大厦|立交桥?|高架))"
        rf"(?!面|况|线|段|边|口{_HAN}{{0,1}}湿)",
        score=0.5,
    ),
    Rule(
        name="crossing",
        kind=FindingKind.ADDRESS,
        needs="[路街道]口|交叉口|交汇处",
        pattern=rf"(?!{_FUNCTION}){_HAN}{{2,5}}(?:路|街|大道|大街)[与和、]{_HAN}{{2,5}}(?:路|街|大道|大街)(?:交叉口|路口|交汇处|口)",
        score=0.6,
    ),
    Rule(
        name="street_english",
        kind=FindingKind.ADDRESS,
        needs=r"[0-9][A-Za-z]?,? [A-Z]",
        pattern=A0
        + r"[0-9]{1,5}[A-Za-z]?,? (?-i:[A-Z][\w'.\-]{1,20}(?: [A-Z][\w'.\-]{1,20}){0,3}) (?:street|st|road|rd|avenue|ave|boulevard|blvd|lane|ln|drive|dr|court|ct|square|sq|highway|hwy)\b\.?",
        score=0.65,
    ),
    Rule(
        name="street_german",
        kind=FindingKind.ADDRESS,
        needs=r"(?:stra(?:ße|sse)|str\.|weg|platz|allee|gasse) [0-9]",
        pattern=r"(?<!\w)(?-i:[A-ZÄÖÜ][a-zäöüß\-]{2,24}(?:straße|strasse|str\.|weg|platz|allee|gasse)) [0-9]{1,4}[a-z]?"
        + A1,
        score=0.65,
    ),
)
