"""Keys and pseudo-random values: HKDF as RFC 5869 has it."""

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import given
from hypothesis import strategies as st

from anonymize.errors import ProfileError
from anonymize.geo.prf import hkdf_expand, hkdf_extract, subkey

RFC_5869_APPENDIX_A = {
    "A.1": (
        "0b" * 22,
        bytes(range(13)).hex(),
        bytes(range(0xF0, 0xFA)).hex(),
        "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    "A.2, longer": (
        bytes(range(0x50)).hex(),
        bytes(range(0x60, 0xB0)).hex(),
        bytes(range(0xB0, 0x100)).hex(),
        "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
        (
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
            "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"
        ),
    ),
    "A.3, no salt, no info": (
        "0b" * 22,
        "",
        "",
        "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ),
}


@pytest.mark.parametrize("case", RFC_5869_APPENDIX_A)
def test_the_vectors_of_rfc_5869(case):
    material, salt, info, key, made = (bytes.fromhex(v) for v in RFC_5869_APPENDIX_A[case])
    assert hkdf_extract(salt, material) == key
    assert hkdf_expand(key, info, len(made)) == made


@given(st.binary(min_size=32, max_size=64), st.binary(max_size=40), st.integers(1, 8160))
def test_expansion_agrees_with_another_implementation(key, info, count):
    assert hkdf_expand(key, info, count) == HKDFExpand(SHA256(), count, info).derive(key)


def test_impossible_lengths_are_refused():
    for count in (0, -1, 8161):
        with pytest.raises(ProfileError, match="8160"):
            hkdf_expand(bytes(32), b"", count)
    with pytest.raises(ProfileError, match=r"32 bytes .*got 31"):
        subkey(bytes(31), "lattice")
