"""A root key in shares of which some recover it (SLIP-39); the only module that calls the library.

The library is not constant-time: shares are made and combined in a ceremony, not by a gate that serves.
"""

from collections.abc import Sequence
from typing import Final

from shamir_mnemonic import (  # type: ignore[import-untyped]
    MnemonicError,
    combine_mnemonics,
    generate_mnemonics,
)
from shamir_mnemonic.share import Share  # type: ignore[import-untyped]

from gateway.vault.errors import KeyUnavailableError

LEAST_THRESHOLD: Final = 2
MOST_SHARES: Final = 16


def split_secret(secret: bytes, *, shares: int, threshold: int) -> list[str]:
    """Split a secret; each share is a line of words with a checksum of its own.

    Args:
        secret: 16 bytes or more, an even number.
        shares: How many, up to 16.
        threshold: How many recover the secret, at least two.

    Raises:
        ValueError: The numbers are no scheme.
    """
    if not LEAST_THRESHOLD <= threshold <= shares <= MOST_SHARES:
        raise ValueError(
            f"shares (got {threshold} of {shares}, expected 2 of 2 to {MOST_SHARES} of {MOST_SHARES})"
        )
    made: list[str] = generate_mnemonics(1, [(threshold, shares)], secret)[0]
    return made


def combine_shares(shares: Sequence[str]) -> tuple[bytes, list[int]]:
    """Recover a secret.

    1. Each share's checksum is right, and no share is there twice.
    2. All are of one ceremony.
    3. They are as many as it asks for, or more; each of more gives the same secret.

    Returns:
        The secret and the numbers of the shares, from 1.

    Raises:
        KeyUnavailableError: A step failed.
    """
    parsed = []
    for number, words in enumerate(shares, start=1):
        try:
            parsed.append(Share.from_mnemonic(words))  # 1
        except MnemonicError as error:
            raise KeyUnavailableError(f"share {number} of those given is damaged: {error}") from None
    if not parsed:
        raise KeyUnavailableError("no shares (expected those of one ceremony)")
    if len({share.common_parameters() for share in parsed}) != 1:  # 2
        raise KeyUnavailableError("the shares are of different ceremonies (expected those of one)")
    members = [share.index + 1 for share in parsed]
    if len(set(members)) != len(members):
        raise KeyUnavailableError(f"a share is there twice (got numbers {sorted(members)})")
    needed = parsed[0].member_threshold  # 3
    if len(parsed) < needed:
        raise KeyUnavailableError(f"too few shares (got {len(parsed)}, expected {needed})")
    sets = [[*shares[: needed - 1], last] for last in shares[needed - 1 :]]
    try:
        secrets = {bytes(combine_mnemonics(each)) for each in sets}
    except MnemonicError as error:
        raise KeyUnavailableError(f"the shares do not fit together: {error}") from None
    if len(secrets) != 1:
        raise KeyUnavailableError("the shares do not fit together (got more than one secret)")
    return secrets.pop(), sorted(members)
