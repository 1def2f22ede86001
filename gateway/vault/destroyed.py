"""The record of a key's destruction: what stays of the key in its keystore."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gateway.vault.errors import KeyUnavailableError
from gateway.vault.private import read_document


@dataclass(frozen=True, slots=True, kw_only=True)
class Destruction:
    """The end of a key.

    Attributes:
        kek_id: The key encryption key, or the name of the secret.
        time: When its destruction was decided, UTC.
        fingerprint: What named the key while it lived: hex SHA-256, or the thumbprint of its public half.
    """

    kek_id: str
    time: datetime
    fingerprint: str

    def as_dict(self) -> dict[str, str]:
        """JSON-ready form."""
        return {"fingerprint": self.fingerprint, "kek_id": self.kek_id, "time": self.time.isoformat()}


def read_destruction(path: Path, name: str) -> Destruction:
    """Read the record of a key's destruction.

    Raises:
        KeyUnavailableError: The key was not destroyed, or the record is malformed.
    """
    document = read_document(path, f"destruction of '{name}'")
    try:
        return Destruction(
            kek_id=document["kek_id"],
            time=datetime.fromisoformat(document["time"]),
            fingerprint=document["fingerprint"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise KeyUnavailableError(f"record of the destruction of '{name}' is malformed: {error}") from error
