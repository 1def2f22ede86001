"""Errors of the ledger: each names the offending value and what was expected."""


class LedgerError(Exception):
    """Base of every error that the ledger raises."""


class LedgerUnavailableError(LedgerError):
    """An append was not acknowledged as durable; no effect may follow it (law 2)."""


class LedgerCorruptError(LedgerError):
    """What is stored contradicts itself: head, nodes, tail or checkpoints do not agree."""


class InvalidEventError(LedgerError, ValueError):
    """An event holds a value that the closed vocabulary of the ledger does not permit."""


class ProofError(LedgerError):
    """An inclusion or consistency proof does not lead to the given root."""


class SignatureError(LedgerError):
    """A signed note is malformed or carries no valid signature of the expected key."""


class WitnessError(LedgerError):
    """A witness cannot be reached or does not answer as C2SP tlog-witness says, or a quorum of them is missing."""


class MessageError(LedgerError):
    """What came over a sequencer's socket is no message of it, or not from this user."""


class TileError(LedgerError):
    """An archive of tiles is not that of this ledger, or is ahead of it."""


class VerificationError(LedgerError):
    """Recomputing the ledger found an entry that does not verify.

    Args:
        index: Index of the first bad entry, or the size of the tree where no single entry is to blame.
        reason: What was found and what was expected.
    """

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(f"entry {index}: {reason}")
        self.index = index
        self.reason = reason
