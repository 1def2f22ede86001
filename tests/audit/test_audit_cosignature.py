"""Cosignatures: the bytes of C2SP tlog-cosignature, and everything that must not count as one."""

import base64
import hashlib
import struct

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from audit import note as notes
from audit.checkpoint import Checkpoint, CheckpointSigner
from audit.cosignature import Cosigner, cosigned_at, require_quorum
from audit.errors import SignatureError

SEED = bytes(range(32, 64))
NAME = "witness.test/w1"
SIGNER = CheckpointSigner(bytes(range(32)), "fleetgate.test/ledger")
NOTE = SIGNER.sign(Checkpoint(origin=SIGNER.origin, size=7, root=b"\x07" * 32).text)
TEXT = NOTE.rpartition("\n\n")[0] + "\n"
AT = 1_679_315_147


def cosigner(number: int = 0) -> Cosigner:
    return Cosigner(bytes([number] * 32), f"witness.test/w{number}")


def test_a_cosignature_has_the_bytes_of_the_specification() -> None:
    """Key id over name, newline, 0x04 and key; eight bytes of time; Ed25519 over two lines and the body."""
    key = Ed25519PrivateKey.from_private_bytes(SEED)
    public = key.public_key().public_bytes_raw()
    line = Cosigner(SEED, NAME).cosign(TEXT, AT)
    mark, name, encoded = line.rstrip("\n").split(" ")
    blob = base64.b64decode(encoded)
    assert (mark, name) == ("\u2014", NAME)
    assert blob[:4] == hashlib.sha256(NAME.encode() + b"\n\x04" + public).digest()[:4]
    assert struct.unpack(">Q", blob[4:12]) == (AT,)
    assert len(blob) == 4 + 8 + 64
    key.public_key().verify(blob[12:], b"cosignature/v1\ntime 1679315147\n" + TEXT.encode())


def test_the_example_of_the_specification_parses_and_its_altered_time_is_another_message() -> None:
    """The public example of tlog-cosignature: its witness line carries the time 1679315147."""
    example = (
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
        "\u2014 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/"
        "Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
        "\u2014 witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJs"
        "X3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
    )
    _, signatures = notes.split_note(example)
    assert [name for name, _ in signatures] == ["example.com/behind-the-sofa", "witness.example.com/w1"]
    assert struct.unpack_from(">Q", signatures[1][1], 4) == (1_679_315_147,)
    assert len(signatures[1][1]) == 4 + 8 + 64


def test_a_witness_is_found_whatever_else_signed() -> None:
    one, two = cosigner(1), cosigner(2)
    note = NOTE + two.cosign(TEXT, AT + 5) + one.cosign(TEXT, AT)
    assert cosigned_at(note, one.vkey) == AT
    assert cosigned_at(note, two.vkey) == AT + 5
    assert cosigned_at(note, cosigner(3).vkey) is None
    assert require_quorum(note, [one.vkey, two.vkey], 2) == {one.vkey: AT, two.vkey: AT + 5}


def test_one_witness_that_signs_twice_is_one_witness() -> None:
    one = cosigner(1)
    note = NOTE + one.cosign(TEXT, AT) + one.cosign(TEXT, AT + 60)
    with pytest.raises(SignatureError, match="got 1, expected at least 2"):
        require_quorum(note, [one.vkey, cosigner(2).vkey], 2)


def test_one_key_under_two_names_is_refused() -> None:
    same = [Cosigner(SEED, name).vkey for name in ("witness.test/a", "witness.test/b")]
    note = NOTE + "".join(
        Cosigner(SEED, name).cosign(TEXT, AT) for name in ("witness.test/a", "witness.test/b")
    )
    with pytest.raises(SignatureError, match="named twice"):
        require_quorum(note, same, 2)


def test_the_ledgers_own_key_is_no_witness() -> None:
    with pytest.raises(SignatureError, match="algorithm 4"):
        require_quorum(NOTE, [SIGNER.vkey], 1)
    forged = notes.VerifierKey(
        name=SIGNER.origin, algorithm=4, public=notes.parse_vkey(SIGNER.vkey, 1).public
    )
    with pytest.raises(SignatureError, match="too few"):
        require_quorum(NOTE, [str(forged)], 1)


def test_a_cosignature_of_another_checkpoint_does_not_count() -> None:
    other = Checkpoint(origin=SIGNER.origin, size=8, root=b"\x08" * 32).text
    with pytest.raises(SignatureError, match="does not verify"):
        cosigned_at(NOTE + cosigner(1).cosign(other, AT), cosigner(1).vkey)


@given(st.integers(0, 4 + 8 + 64 - 1), st.integers(1, 255))
def test_no_changed_byte_of_a_cosignature_passes(position: int, change: int) -> None:
    key = notes.parse_vkey(cosigner(1).vkey, 4)
    blob = bytearray(notes.parse_signature(cosigner(1).cosign(TEXT, AT).rstrip("\n"))[1])
    blob[position] ^= change
    line = f"\u2014 {key.name} {base64.b64encode(bytes(blob)).decode()}\n"
    with pytest.raises(SignatureError):
        require_quorum(NOTE + line, [cosigner(1).vkey], 1)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "ä", "x" * 129])
def test_impossible_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="key name"):
        Cosigner(SEED, name)


@pytest.mark.parametrize("time", [-1, 2**63])
def test_impossible_times_are_refused(time: int) -> None:
    with pytest.raises(ValueError, match="time out of range"):
        cosigner(1).cosign(TEXT, time)
