"""The signed publication of the gate's intake key: how vehicles learn the next one.

It may come by any way, over a depot's server or on a disk: the signature is by the gate's release key, which
vehicles pin, and a publication of an earlier generation than the one that a vehicle knows is refused.
"""

from dataclasses import dataclass
from typing import Any, Final

from gateway.vault.errors import StatementError
from gateway.vault.intake_key import IntakePublicKey
from gateway.vault.jws import KeyForm, PrivateKey, sign_statement, thumbprint, verify_statement

PUBLICATION_TYPE: Final = "fleetgate-intake-key+json"
_MEMBERS: Final = frozenset({"gate", "generation", "key", "published_at", "version"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedIntakeKey:
    """What a publication says.

    Attributes:
        generation: 1 for the first key; a vehicle keeps the highest that it saw.
        key: What to seal to from now on.
        gate: Origin of the gate.
        published_at: RFC 3339 time of the publication.
    """

    generation: int
    key: IntakePublicKey
    gate: str
    published_at: str


def publish_intake_key(
    key: PrivateKey, intake: IntakePublicKey, *, generation: int, gate: str, published_at: str
) -> str:
    """Sign a publication (compact JWS)."""
    payload: dict[str, Any] = {
        "gate": gate,
        "generation": generation,
        "key": intake.text(),
        "published_at": published_at,
        "version": 1,
    }
    return sign_statement(key, PUBLICATION_TYPE, thumbprint(key), payload)


def read_intake_publication(statement: str, release_key: KeyForm, *, known: int = 0) -> PublishedIntakeKey:
    """Verify a publication at the vehicle.

    1. It is signed by the gate's release key, as a publication of an intake key.
    2. It has exactly its members, of a known version.
    3. Its generation is not before the one that the vehicle knows.
    4. The key is one.

    Args:
        statement: Compact JWS.
        release_key: The gate's release key, pinned when the vehicle was provisioned.
        known: The highest generation that this vehicle saw; 0 for none.

    Raises:
        StatementError: Step 1, 2 or 3 failed.
        KeyUnavailableError: Step 4 failed.
    """
    said = verify_statement(statement, PUBLICATION_TYPE, release_key)  # 1
    generation = said.get("generation")
    if set(said) != _MEMBERS or said["version"] != 1 or type(generation) is not int:  # 2
        raise StatementError(f"publication of an intake key (got members {sorted(said)})")
    if generation < max(known, 1):  # 3
        raise StatementError(
            f"intake key is of an earlier generation (got {generation}, expected {known} or later)"
        )
    return PublishedIntakeKey(
        generation=generation,
        key=IntakePublicKey.parse(str(said["key"])),  # 4
        gate=str(said["gate"]),
        published_at=str(said["published_at"]),
    )
