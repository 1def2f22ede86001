"""A gate of the commercial suite signs its checkpoints by SM2, too; one of the other suite does not."""

from pathlib import Path

import pytest

from audit.checkpoint import verify_checkpoint
from audit.sm2_line import verify_sm2_line
from gateway.vault.suites import AES256GCM, SM4GCM, Suite
from simulators import House


@pytest.mark.parametrize("suite", [SM4GCM, AES256GCM], ids=lambda suite: suite.name)
def test_checkpoints_carry_the_line_of_their_suite(tmp_path: Path, suite: Suite):
    house = House(home=tmp_path / "home", settings_changes={"suite": suite.name})
    notes = []
    for _ in range(2):
        with house.opened() as gate:
            signer, note = gate.ledger.signer, gate.checkpoint()
            verify_checkpoint(note, signer.vkey)
            assert gate.ledger.verify().size > 0
        notes.append((note, signer.beside and signer.beside.vkey))
    if suite is AES256GCM:
        assert [vkey for _, vkey in notes] == [None, None]
        assert all(note.count("\u2014 ") == 1 for note, _ in notes)
        return
    # The key is the same at the next start.
    assert notes[0][1] == notes[1][1]
    for note, _ in notes:
        verify_sm2_line(note, notes[0][1])
