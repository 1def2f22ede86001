# ruff: noqa: PLR2004 - lengths and moduli are those of the standards that each function names
"""Check digits and structure of numbers that identify persons, vehicles, accounts and organisations."""

from datetime import date

_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_ID_CHECKS = "10X98765432"
_PROVINCES = frozenset(
    f"{n}"
    for n in (
        *range(11, 16),
        *range(21, 24),
        *range(31, 38),
        *range(41, 47),
        *range(50, 55),
        *range(61, 66),
        71,
        81,
        82,
        83,
        91,
    )
)
_VIN_VALUES = dict(
    zip(
        "ABCDEFGHJKLMNPRSTUVWXYZ0123456789",
        [*range(1, 9), 1, 2, 3, 4, 5, 7, 9, *range(2, 10), *range(10)],
        strict=True,
    )
)
_VIN_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
_VIN_CHECKS = "0123456789X"
_USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_USCC_WEIGHTS = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)
_ORG_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)
_YEARS = (1850, 2099)


def is_resident_id(number: str) -> bool:
    """GB 11643: 18 characters with province, birth date and MOD 11-2 check, or 15 digits without check."""
    if len(number) == 15 and number.isdigit():
        return number[:2] in _PROVINCES and _is_date("19" + number[6:12])
    if len(number) != 18 or not number[:17].isdigit():
        return False
    if number[:2] not in _PROVINCES or not _is_date(number[6:14]):
        return False
    total = sum(int(digit) * weight for digit, weight in zip(number[:17], _ID_WEIGHTS, strict=True))
    return _ID_CHECKS[total % 11] == number[17].upper()


def is_luhn(number: str) -> bool:
    """ISO/IEC 7812-1 annex B; a number of one repeated digit does not count."""
    if not number.isdigit() or len(set(number)) < 2:
        return False
    total = 0
    for index, digit in enumerate(reversed(number)):
        value = int(digit) * (1 + index % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def is_vin(number: str) -> bool:
    """GB 16735 / ISO 3779 check digit in the ninth place (Europe does not use it)."""
    vin = number.upper()
    if len(vin) != 17 or any(c not in _VIN_VALUES for c in vin) or vin.isdigit() or vin.isalpha():
        return False
    total = sum(_VIN_VALUES[c] * weight for c, weight in zip(vin, _VIN_WEIGHTS, strict=True))
    return _VIN_CHECKS[total % 11] == vin[8]


def is_uscc(code: str) -> bool:
    """GB 32100: unified social credit code with its MOD 31 check character."""
    code = code.upper()
    if len(code) != 18 or any(c not in _USCC_ALPHABET for c in code) or code[0] not in "123456789ANY":
        return False
    if not code[2:8].isdigit():
        return False
    total = sum(_USCC_ALPHABET.index(c) * w for c, w in zip(code[:17], _USCC_WEIGHTS, strict=True))
    return _USCC_ALPHABET[(31 - total % 31) % 31] == code[17]


def is_organisation_code(code: str) -> bool:
    """GB 11714: eight characters and a MOD 11 check character."""
    code = code.upper()
    if len(code) != 9 or not code[:8].isalnum() or not code.isascii():
        return False
    total = sum(int(c, 36) * weight for c, weight in zip(code[:8], _ORG_WEIGHTS, strict=True))
    return "0123456789X0"[(11 - total % 11)] == code[8]


def is_iban(code: str) -> bool:
    """ISO 13616: MOD 97 over the rearranged number."""
    code = code.upper()
    if not 15 <= len(code) <= 34 or not code.isascii() or not code.isalnum():
        return False
    return int("".join(str(int(c, 36)) for c in code[4:] + code[:4])) % 97 == 1


def _is_date(digits: str) -> bool:
    try:
        born = date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        return False
    return _YEARS[0] <= born.year <= _YEARS[1]
