# ruff: noqa: E501, PLR2004 - an expression reads best on one line; numbers are those of the notations
"""Search treated text again, without Presidio: other expressions, decoded variants, and strings known beforehand."""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from anonymize.errors import LimitExceededError
from anonymize.finding import FieldPath, Finding, FindingKind, TextSpan
from anonymize.formats import strict_json
from anonymize.profile import TextProfile
from anonymize.residual import ResidualReport
from anonymize.text import checksums
from anonymize.text.fold import fold
from anonymize.text.planted_strings import PlantedStrings

_PLATE_AREAS = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼使"
_ENCODED = re.compile(r"(?<![A-Za-z0-9+/_\-])[A-Za-z0-9+/_\-]{12,}={0,2}")
_ESCAPES = re.compile(r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})|&#(\d{1,6});|&#x([0-9a-fA-F]{1,5});")
_SEPARATORS = re.compile(r"[\s\-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Expression:
    name: str
    kind: FindingKind
    pattern: re.Pattern[str]
    check: Callable[[str], bool] | None = None


def _joined(check: Callable[[str], bool]) -> Callable[[str], bool]:
    def joined(text: str) -> bool:
        return check(_SEPARATORS.sub("", text))

    return joined


def _in_china(text: str) -> bool:
    low, high = sorted(float(number) for number in re.findall(r"\d{1,3}\.\d+", text)[:2])
    return 3.0 <= low <= 54.0 and 73.0 <= high <= 136.0


def _octets(text: str) -> bool:
    return all(int(octet) <= 255 for octet in text.split("."))


def _is_card(text: str) -> bool:
    digits = _SEPARATORS.sub("", text)
    return 16 <= len(digits) <= 19 and checksums.is_luhn(digits)


def _expression(
    name: str,
    kind: FindingKind,
    pattern: str,
    check: Callable[[str], bool] | None = None,
    *,
    flags: int = re.IGNORECASE,
) -> _Expression:
    return _Expression(name=name, kind=kind, pattern=re.compile(pattern, flags), check=check)


_EXPRESSIONS = (
    _expression(
        "resident_id",
        FindingKind.RESIDENT_ID,
        r"(?<!\d)(?<!\d\.)[1-9](?:[ -]?\d){16}[ -]?[\dX](?!\d)(?!\.\d)",
        _joined(checksums.is_resident_id),
    ),
    _expression(
        "vin",
        FindingKind.VIN,
        r"(?<![0-9A-Za-z])(?!\d{16}e[+-]\d)(?!(?<=\d\.)\d{1,16}e\d{1,3}(?![0-9A-Za-z]))[A-HJ-NPR-Z0-9]{17}(?![0-9A-Za-z])",
        checksums.is_vin,
    ),
    _expression(
        "plate",
        FindingKind.PLATE,
        rf"[{_PLATE_AREAS}][A-Z][·. -]?[A-Z0-9]{{2}}\d{{2}}[A-Z0-9挂学警港澳领](?![0-9A-Za-z])|[{_PLATE_AREAS}][A-Z][·. -]?(?:[DF][A-Z0-9]\d{{4}}|\d{{5}}[DF])(?![0-9A-Za-z])",
    ),
    _expression(
        "card",
        FindingKind.BANK_CARD,
        r"(?<!\d)(?<!\d\.)(?:62|4|5[1-5])\d(?:[ -]?\d){12,16}(?!\d)(?!\.\d)(?!e[+-]?\d)",
        _is_card,
    ),
    _expression(
        "phone",
        FindingKind.PHONE,
        r"(?<!\d)(?<!\d\.)1[3-9]\d(?:\d{8}|[ -]\d{4}[ -]\d{4})(?!\d)(?!\.\d)(?!e[+-]?\d)",
    ),
    _expression(
        "landline", FindingKind.PHONE, r"(?<!\d)(?<!\d\.)0(?:10|2\d|[3-9]\d{2})-[2-9]\d{6,7}(?!\d)(?!\.\d)"
    ),
    _expression("email", FindingKind.EMAIL, r"[A-Za-z0-9_+-]@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2}"),
    _expression(
        "ipv4",
        FindingKind.IP_ADDRESS,
        r"(?<![0-9A-Za-z.])(?<!version )(?<!version: )(?<!版本)(?<!版本 )(?<!版本号)(?<!版本: )(?:\d{1,3}\.){3}\d{1,3}(?![0-9A-Za-z])(?!\.\d)",
        _octets,
    ),
    _expression("nmea", FindingKind.POSITION, r"[$!](?:G[A-Z]|BD|P)[A-Z]{3},", flags=0),
    _expression(
        "labelled_position",
        FindingKind.POSITION,
        r"(?:(?<![a-z])(?:lat|latitude|lon|lng|longitude)(?![a-z])|[纬经]度|[北南]纬|[东西]经)[ \"']{0,3}[:=]?[ \"']{0,3}[+-]?\d{1,3}\.\d{2,}",
    ),
    _expression("degrees", FindingKind.POSITION, r"(?<![\d.])\d{1,3} ?[°度] ?\d{1,2}(?:\.\d+)? ?['分]"),
    _expression(
        "decimal_pair",
        FindingKind.POSITION,
        r"(?<![\d.])\d{1,3}\.\d{5,15} ?[,;/ ] ?\d{1,3}\.\d{5,15}(?!\d)(?!e[+-]?\d)",
        _in_china,
    ),
    _expression(
        "date",
        FindingKind.TIMESTAMP,
        r"(?<!\d)(?<!\d\.)(?:19|20)\d{2}(?:-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])|/(?:0[1-9]|1[0-2])/(?:0[1-9]|[12]\d|3[01]))(?!\d)"
        r"|(?<!\d)(?:19|20)\d{2} ?年 ?(?:0?[1-9]|1[0-2]) ?月 ?(?:[12]\d|3[01]|0?[1-9]) ?[日号]",
    ),
    _expression(
        "epoch",
        FindingKind.TIMESTAMP,
        r"(?<!\d)(?<!\d\.)1[0-9](?:\d{17}|\d{14}|\d{11})(?!\d)(?!\.\d)(?!e[+-]?\d)",
        lambda text: 946684800 <= int(text[:10]) < 3155760000,
    ),
)
_DIGEST = hashlib.sha256(
    "\n".join(f"{e.name} {e.pattern.pattern}" for e in _EXPRESSIONS).encode()
).hexdigest()
SCANNER = f"text-residual@{_DIGEST[:12]}"
PLANTED_SCANNER = "planted-strings@1"


def scan_text(
    content: bytes, media_type: str, *, profile: TextProfile, planted: PlantedStrings | Sequence[str] = ()
) -> ResidualReport:
    """Search the treated bytes of a text or JSON item.

    Args:
        content: The treated bytes.
        media_type: ``application/json`` (or ``+json``) adds the decoded keys and values to what is searched.
        profile: Limits.
        planted: Strings that are known to be sensitive in this recording (a VIN from its manifest, the stem of a
            file name); none may appear, whatever its case and separators. Those of fewer than 5 letters or 7 digits
            are only searched as whole words. Prepared ones serve many items.

    Raises:
        LimitExceededError: More bytes or deeper nesting than the profile permits.
        MalformedItemError: The content is not UTF-8 or, for JSON, not JSON.
        ValueError: A planted string is empty.
    """
    if len(content) > profile.max_bytes:
        raise LimitExceededError(
            f"text is too large (got {len(content)} bytes, expected at most {profile.max_bytes})"
        )
    known = planted if isinstance(planted, PlantedStrings) else PlantedStrings(planted)
    variants = list(_variants(content, media_type, profile))
    residual = [finding for name, text in variants for finding in _search(name, text)]
    shown = [(number, name) for name, text in variants for number in known.found_in(text)]
    residual += [_planted(number, name) for number, name in sorted(shown, key=lambda each: each[0])]
    return ResidualReport(
        scanners=(SCANNER, PLANTED_SCANNER) if known else (SCANNER,),
        residual=tuple(residual),
        facts={"variants": [name for name, _ in variants], "planted": len(known), "bytes": len(content)},
    )


def _variants(content: bytes, media_type: str, profile: TextProfile) -> Iterator[tuple[str, str]]:
    """The text as it is, and as a reader of JSON, of percent or character escapes or of base64 would see it."""
    raw = strict_json.decode_utf8(content)
    yield "raw", fold(raw).text
    if media_type.endswith("json"):
        document = strict_json.parse(content, max_depth=profile.max_depth)
        yield "json", fold("\n".join(_strings(document))).text
    if "%" in raw and (unquoted := unquote(raw)) != raw:
        yield "percent", fold(unquoted).text
    unescaped = _ESCAPES.sub(_character, raw)
    if unescaped != raw:
        yield "escapes", fold(unescaped).text
    decoded = "\n".join(_decoded(raw))
    if decoded:
        yield "base64", fold(decoded).text


def _strings(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, member in node.items():
            yield key
            yield from _strings(member)
    elif isinstance(node, list):
        for element in node:
            yield from _strings(element)
    elif isinstance(node, str):
        yield node
    else:
        yield json.dumps(node)


def _character(match: re.Match[str]) -> str:
    short, byte, decimal, hexadecimal = match.groups()
    code = int(decimal) if decimal else int(short or byte or hexadecimal, 16)
    return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else match.group()


def _decoded(raw: str) -> Iterator[str]:
    for token in _ENCODED.findall(raw):
        body = token.rstrip("=").translate(str.maketrans("-_", "+/"))
        try:
            text = base64.b64decode(body + "=" * (-len(body) % 4), validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            continue
        if text.isprintable():
            yield text


def _search(variant: str, text: str) -> Iterator[Finding]:
    for expression in _EXPRESSIONS:
        for match in expression.pattern.finditer(text):
            if expression.check is None or expression.check(match.group()):
                yield Finding(
                    kind=expression.kind,
                    where=TextSpan(
                        start=match.start(), end=match.end(), path="" if variant == "raw" else f"/{variant}"
                    ),
                    confidence=1.0,
                    detector=SCANNER,
                    label=expression.name,
                )


def _planted(index: int, variant: str) -> Finding:
    return Finding(
        kind=FindingKind.METADATA,
        where=FieldPath(path=f"planted/{index}/{variant}"),
        confidence=1.0,
        detector=PLANTED_SCANNER,
        label="planted",
    )
