# ruff: noqa: E501, PLR2004 - an expression reads best on one line; numbers are those of the notations
"""Rules for persons: identity documents, telephones, mail, accounts, organisations."""

import re

from anonymize.finding import FindingKind
from anonymize.text import checksums
from anonymize.text.rule import A0, A1, D0, D1, Rule

_ID_WORDS = r"身份证|公民身份|证件号|驾驶证|驾照|id ?card|identity|id ?no|idno|resident|licen[cs]e n|身份号码"
_BANK_WORDS = r"银行|卡号|储蓄|信用卡|借记卡|账号|帐号|账户|bank|card|account"
_PHONE_WORDS = (
    r"电话|手机|座机|联系|热线|传真|致电|拨打|phone|mobile|\btel|\bcell|\bfax|call|contact|whatsapp"
)
_CODE_WORDS = r"信用代码|统一代码|组织机构|税号|纳税人|营业执照|uscc|credit code|tax id"
_PASSPORT_WORDS = r"护照|通行证|passport|travel document"


def _digits(text: str) -> str:
    return re.sub(r"[^0-9A-Za-z]", "", text)


def is_resident_id(text: str) -> bool:
    """Whether the text, separators aside, is a valid resident identity number."""
    return checksums.is_resident_id(_digits(text))


def is_bank_card(text: str) -> bool:
    """Whether the text, separators aside, passes Luhn."""
    return checksums.is_luhn(_digits(text))


def is_uscc(text: str) -> bool:
    """Whether the text, separators aside, is a valid unified social credit code."""
    return checksums.is_uscc(_digits(text))


def is_organisation_code(text: str) -> bool:
    """Whether the text, separators aside, is a valid organisation code."""
    return checksums.is_organisation_code(_digits(text))


def is_iban(text: str) -> bool:
    """Whether the text, separators aside, is a valid IBAN."""
    return checksums.is_iban(_digits(text))


def is_international_phone(text: str) -> bool:
    """E.164: at most 15 digits; fewer than 8 are no subscriber number."""
    return 8 <= sum(c.isdigit() for c in text) <= 15


RULES = (
    Rule(
        name="resident_id_18",
        kind=FindingKind.RESIDENT_ID,
        pattern=D0 + r"[1-9](?:[ \-]?[0-9]){16}[ \-]?[0-9X]" + r"(?![0-9])(?!\.[0-9])",
        score=1.0,
        context=_ID_WORDS,
        context_score=1.0,
        check=is_resident_id,
        failed_context_score=0.75,
    ),
    Rule(
        name="resident_id_15",
        kind=FindingKind.RESIDENT_ID,
        pattern=D0 + r"[1-9][0-9]{14}" + D1,
        score=0.5,
        context=_ID_WORDS,
        context_score=0.85,
        check=is_resident_id,
        failed_context_score=0.6,
    ),
    Rule(
        name="passport",
        kind=FindingKind.RESIDENT_ID,
        pattern=A0 + r"[A-Z]{1,2}[0-9]{7,8}" + A1,
        score=0.0,
        context=_PASSPORT_WORDS,
        context_score=0.8,
    ),
    Rule(
        name="organisation_code_18",
        kind=FindingKind.ORGANISATION_CODE,
        pattern=A0 + r"[1-9ANY][0-9A-HJ-NPQRTUWXY][0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}" + A1,
        score=0.9,
        context=_CODE_WORDS,
        context_score=0.95,
        check=is_uscc,
        failed_context_score=0.6,
    ),
    Rule(
        name="organisation_code_9",
        kind=FindingKind.ORGANISATION_CODE,
        pattern=A0 + r"[0-9A-Z]{8}-?[0-9X]" + A1,
        score=0.0,
        context=_CODE_WORDS,
        context_score=0.8,
        check=is_organisation_code,
        failed_context_score=0.0,
    ),
    Rule(
        name="bank_card",
        kind=FindingKind.BANK_CARD,
        pattern=D0
        + r"(?:3[47](?:[ \-]?[0-9]){13}|(?:6[0-9]|4[0-9]|5[0-9]|2[2-7]|3[0568]|9[5-9])(?:[ \-]?[0-9]){14,17})"
        + D1,
        score=0.6,
        context=_BANK_WORDS,
        context_score=0.9,
        check=is_bank_card,
        failed_context_score=0.5,
    ),
    Rule(
        name="bank_account",
        kind=FindingKind.BANK_CARD,
        pattern=D0 + r"[0-9](?:[ \-]?[0-9]){8,21}" + D1,
        score=0.0,
        context=r"银行账号|银行帐号|账号|帐号|卡号|bank account|account (?:no|number)",
        context_score=0.6,
    ),
    Rule(
        name="iban",
        kind=FindingKind.BANK_CARD,
        pattern=A0 + r"[A-Z]{2}[0-9]{2}(?: ?[0-9A-Z]{4}){2,7}(?: ?[0-9A-Z]{1,3})?" + A1,
        score=0.9,
        context=_BANK_WORDS,
        context_score=0.95,
        check=is_iban,
    ),
    Rule(
        name="mobile",
        kind=FindingKind.PHONE,
        pattern=D0
        + r"(?:(?:\+ ?86|0086|86)[ \-]?)?\(?1[3-9][0-9]\)?(?:[0-9]{8}|[ \-][0-9]{4}[ \-]?[0-9]{4}|[0-9][ \-][0-9]{3}[ \-]"
        + r"[0-9]{4}|[ \-][0-9]{8}|[0-9]{4}[ \-][0-9]{4}|[ \-][0-9]{3}[ \-][0-9]{5})"
        + D1,
        score=0.7,
        context=_PHONE_WORDS,
        context_score=0.9,
    ),
    Rule(
        name="mobile_spaced",
        kind=FindingKind.PHONE,
        pattern=r"(?<![0-9])(?<![0-9][ .\-])1[ .\-]?[3-9](?:[ .\-]?[0-9]){9}(?![ .\-]?[0-9])",
        score=0.5,
        context=_PHONE_WORDS,
        context_score=0.85,
    ),
    Rule(
        name="landline",
        kind=FindingKind.PHONE,
        pattern=D0
        + r"(?:(?:\+ ?86|0086)[ \-]?)?\(?0(?:10|2[0-9]|[3-9][0-9]{2})[)\- ] ?[2-9](?:[0-9]{6,7}|[0-9]{2,3}[ \-][0-9]{4})"
        + r"(?:[ \-]?(?:转|ext\.?|#|-) ?[0-9]{1,5})?"
        + D1,
        score=0.6,
        context=_PHONE_WORDS,
        context_score=0.9,
    ),
    Rule(
        name="landline_plain",
        kind=FindingKind.PHONE,
        pattern=D0 + r"0(?:10|2[0-9]|[3-9][0-9]{2})[2-9][0-9]{6,7}" + D1,
        score=0.45,
        context=_PHONE_WORDS,
        context_score=0.85,
    ),
    Rule(
        name="service_number",
        kind=FindingKind.PHONE,
        pattern=D0 + r"[48]00[ \-]?[0-9]{3}[ \-]?[0-9]{4}" + D1,
        score=0.0,
        context=_PHONE_WORDS,
        context_score=0.8,
    ),
    Rule(
        name="international",
        kind=FindingKind.PHONE,
        pattern=r"(?<![0-9A-Za-z.])(?:\+|00)[1-9][0-9]{0,2}(?:[ \-]?\(?[0-9]{1,5}\)?){2,6}" + D1,
        score=0.6,
        context=_PHONE_WORDS,
        context_score=0.9,
        check=is_international_phone,
    ),
    Rule(
        name="north_american",
        kind=FindingKind.PHONE,
        pattern=D0 + r"(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}-)[2-9][0-9]{2}-[0-9]{4}" + D1,
        score=0.5,
        context=_PHONE_WORDS,
        context_score=0.85,
    ),
    Rule(
        name="phone_by_context",
        kind=FindingKind.PHONE,
        pattern=r"(?:电话|手机号?码?|座机|联系方式|传真|phone|mobile|tel|cell)"
        r"(?: ?(?:no|number|号码?|为|是))?\.?[ \"']{0,2}[:=]?[ \"']{0,2}(?P<v>\(?[0-9][0-9 \-()]{5,16}[0-9])"
        + D1,
        score=0.7,
    ),
    Rule(
        name="email",
        kind=FindingKind.EMAIL,
        needs="@",
        pattern=r"(?:(?<![A-Za-z0-9.!#$%&'*+^_~\-])[A-Za-z0-9!#$%&'*+^_~\-][A-Za-z0-9.!#$%&'*+^_~\-]{0,63}|[\u4e00-\u9fff]{1,8})"
        r"@(?:(?:[A-Za-z0-9\-]{1,63}\.){1,8}(?:xn--[A-Za-z0-9\-]{2,30}|[A-Za-z]{2,24})"
        r"|(?:[\u4e00-\u9fff]{1,10}\.){1,2}(?:中国|公司|网络|[\u4e00-\u9fff]{2}))",
        score=0.9,
    ),
    Rule(
        name="social_account",
        kind=FindingKind.EMAIL,
        pattern=r"(?:微信号?|wechat(?: id)?|weixin|\bqq号?)[ \"']{0,2}[:=是为][ \"']{0,2}(?P<v>[A-Za-z0-9_\-]{5,32})",
        score=0.8,
    ),
)
