"""docs/sealed-files.md and docs/keys.md say what the code does."""

import re
from pathlib import Path

import pytest

from gateway.vault.container import (
    _FIELDS,
    _KEY_LABEL,
    COMMITMENT_LENGTH,
    DEFAULT_SEGMENT_SIZE,
    HEADER_LENGTH,
    MAGIC,
    MAX_SEGMENT_SIZE,
    MIN_SEGMENT_SIZE,
    NONCE_PREFIX_LENGTH,
    SALT_LENGTH,
    VERSION,
)
from gateway.vault.keys import _FINGERPRINT_LABEL
from gateway.vault.root import DEFAULT_ARGON2
from gateway.vault.store import MANIFEST_TYPE, SealManifest
from gateway.vault.suites import SUITES
from gateway.vault.wrap import _LABEL

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture(scope="module")
def sealed_files() -> str:
    return (DOCS / "sealed-files.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def keys() -> str:
    return (DOCS / "keys.md").read_text(encoding="utf-8")


def test_header_table(sealed_files: str) -> None:
    rows = [(int(a), int(b)) for a, b in re.findall(r"^\| (\d+) \| (\d+) \|", sealed_files, re.MULTILINE)]
    lengths = [len(MAGIC), 2, 2, 4, SALT_LENGTH, NONCE_PREFIX_LENGTH, COMMITMENT_LENGTH]
    assert rows == [(sum(lengths[:i]), length) for i, length in enumerate(lengths)]
    assert sum(lengths) == HEADER_LENGTH == 87
    assert _FIELDS.size == 55


def test_constants(sealed_files: str, keys: str) -> None:
    flat = sealed_files.replace("\u00a0", " ")
    for said in (
        f"ASCII `{MAGIC.decode()}`",
        f"version, {VERSION}",
        f"{MIN_SEGMENT_SIZE} to {MAX_SEGMENT_SIZE:,}; written with {DEFAULT_SEGMENT_SIZE:,}".replace(
            ",", " "
        ),
        f"`{_KEY_LABEL[:-1].decode()}` and one zero byte",
        f"`{MANIFEST_TYPE}`",
    ):
        assert said in flat
    for label in (_LABEL.removesuffix(b"%d\0"), _FINGERPRINT_LABEL.removesuffix(b"\0")):
        assert label not in (_LABEL, _FINGERPRINT_LABEL)
        assert f"`{label.decode()}`" in keys
    cost = DEFAULT_ARGON2
    assert f"{cost.memory_kib // 1024} MiB, {cost.iterations} passes and {cost.lanes} lanes" in keys


def test_suites(sealed_files: str) -> None:
    for suite in SUITES:
        assert f"| {suite.identifier} | `{suite.name}` |" in sealed_files
        row = next(line for line in sealed_files.splitlines() if f"`{suite.name}` |" in line)
        assert f"| {suite.key_length} | {suite.tag_length} |" in row
        assert f"`sealed_{suite.digest_name}` (suite {suite.identifier})" in sealed_files
        assert f"Suite {suite.identifier} signs with" in sealed_files
        assert f"`{suite.signature}`" in sealed_files


def test_every_member_of_the_manifest_is_described(sealed_files: str) -> None:
    members = {
        name
        for line in re.findall(r"^\| (`[^|]+) \|", sealed_files, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", line)
    }
    digests = {f"sealed_{suite.digest_name}" for suite in SUITES}
    assert members == {*SealManifest.__dataclass_fields__, "version"} - {"sealed_digest"} | digests
