"""Signed notes and checkpoints of C2SP: a published note, round trips, and what must be refused."""

import base64
import hashlib

import pytest

from audit.checkpoint import Checkpoint, CheckpointSigner, open_note, verify_checkpoint
from audit.errors import SignatureError

# The example of golang.org/x/mod/sumdb/note, on which signed-note rests.
GO_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
)
GO_SIGNATURE = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
GO_NOTE = f"{GO_TEXT}\n— PeterNeumann {GO_SIGNATURE}\n"
ROOT = bytes(range(32))


def test_the_published_note_opens() -> None:
    assert open_note(GO_NOTE, GO_VKEY) == GO_TEXT


def test_verifier_key_follows_the_specification(signer: CheckpointSigner) -> None:
    name, key_hash, encoded = signer.vkey.split("+", 2)
    key = base64.b64decode(encoded)
    assert name == "fleetgate.test/ledger"
    assert key[0] == 1
    assert key_hash == hashlib.sha256(name.encode() + b"\n" + key).hexdigest()[:8]


def test_the_seed_stays_out_of_sight(signer: CheckpointSigner) -> None:
    assert bytes(range(32)).hex() not in repr(signer)
    assert repr(signer) == f"CheckpointSigner({signer.vkey!r})"


def test_checkpoint_round_trip(signer: CheckpointSigner) -> None:
    checkpoint = Checkpoint(origin=signer.origin, size=7, root=ROOT)
    note = signer.sign(checkpoint.text)
    assert note.startswith(
        f"fleetgate.test/ledger\n7\n{base64.b64encode(ROOT).decode()}\n\n— fleetgate.test/ledger "
    )
    assert verify_checkpoint(note, signer.vkey) == checkpoint


def test_cosignatures_of_others_are_passed_over(signer: CheckpointSigner) -> None:
    checkpoint = Checkpoint(origin=signer.origin, size=7, root=ROOT)
    note = signer.sign(checkpoint.text)
    witness = CheckpointSigner(b"w" * 32, "witness.test").sign(checkpoint.text).split("\n\n")[1]
    assert verify_checkpoint(note + witness, signer.vkey) == checkpoint
    with pytest.raises(SignatureError, match="not signed by the expected key"):
        open_note(checkpoint.text + "\n" + witness, signer.vkey)


def test_every_altered_character_is_refused(signer: CheckpointSigner) -> None:
    note = signer.sign(Checkpoint(origin=signer.origin, size=7, root=ROOT).text)
    for place in range(len(note)):
        bad = note[:place] + chr(ord(note[place]) ^ 1) + note[place + 1 :]
        with pytest.raises(SignatureError):
            verify_checkpoint(bad, signer.vkey)


TEXTS = {
    "other origin": "elsewhere\n7\n" + base64.b64encode(ROOT).decode() + "\n",
    "leading zero": "fleetgate.test/ledger\n07\n" + base64.b64encode(ROOT).decode() + "\n",
    "negative": "fleetgate.test/ledger\n-7\n" + base64.b64encode(ROOT).decode() + "\n",
    "foreign digit": "fleetgate.test/ledger\n٧\n" + base64.b64encode(ROOT).decode() + "\n",
    "short root": "fleetgate.test/ledger\n7\n" + base64.b64encode(ROOT[:31]).decode() + "\n",
    "no root": "fleetgate.test/ledger\n7\n",
    "extension": "fleetgate.test/ledger\n7\n" + base64.b64encode(ROOT).decode() + "\nmore\n",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_malformed_checkpoints_are_refused_though_signed(signer: CheckpointSigner, text: str) -> None:
    with pytest.raises(SignatureError):
        verify_checkpoint(signer.sign(text), signer.vkey)


NOTES = {
    "empty": "",
    "no signature": "a\n",
    "no empty line": "a\n— x AAAAAAAA\n",
    "no final newline": GO_NOTE[:-1],
    "hyphen for dash": GO_NOTE.replace("—", "-"),
    "not base64": GO_NOTE.replace("x08go", "!!!!!"),
    "too short": GO_TEXT + "\n— PeterNeumann x08gow==\n",
}


@pytest.mark.parametrize("note", NOTES.values(), ids=NOTES)
def test_malformed_notes_are_refused(note: str) -> None:
    with pytest.raises(SignatureError):
        open_note(note, GO_VKEY)


KEYS = {
    "empty": "",
    "no hash": "PeterNeumann+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    "wrong hash": GO_VKEY.replace("c74f20a3", "c74f20a4"),
    "other algorithm": "PeterNeumann+c74f20a3+AhpccQcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    "space in name": GO_VKEY.replace("PeterNeumann", "Peter Neumann"),
}


@pytest.mark.parametrize("vkey", KEYS.values(), ids=KEYS)
def test_malformed_keys_are_refused(vkey: str) -> None:
    with pytest.raises(SignatureError, match="verifier key"):
        open_note(GO_NOTE, vkey)


@pytest.mark.parametrize(
    ("seed", "origin"), [(b"short", "a"), (b"x" * 32, "a b"), (b"x" * 32, "a+b"), (b"x" * 32, "")]
)
def test_malformed_signers_are_refused(seed: bytes, origin: str) -> None:
    with pytest.raises(ValueError, match=r"seed|origin"):
        CheckpointSigner(seed, origin)


@pytest.mark.parametrize("text", ["no newline", "tab\there\n"])
def test_texts_that_cannot_be_notes_are_not_signed(signer: CheckpointSigner, text: str) -> None:
    with pytest.raises(ValueError, match="note text"):
        signer.sign(text)
