"""The slot for a secrecy processor that the state recognises (地理信息保密处理技术), as an extension point.

Fleetgate ships no such processor and no imitation of one: the state's transform and its parameters are secret
(COMPLIANCE.md A9), and only data that a recognised technology processed leave their level (A7, rule 8). A package
of the operator's installs one; docs/approved-processor.md says how.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any, Protocol, runtime_checkable

from anonymize.errors import ProcessorError
from anonymize.geo.ellipsoid import FloatArray

GROUP = "fleetgate.secrecy_processor"
"""Entry-point group; its one entry makes a ``SecrecyProcessor`` when it is called without arguments."""

_TEXTS = ("secrecy_tech_id", "version", "certificate_number", "issued_by")
_LONGEST = 200
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessorAttestation:
    """What the maker states of a processor, as its certificate of recognition says.

    Attributes:
        secrecy_tech_id: Identifier of the recognised technology; policy demands it for absolute positions.
        version: Version of the processor.
        certificate_number: Number of the certificate.
        certificate_sha256: SHA-256 of the certificate's file (PEM or DER, byte by byte), hexadecimal.
        issued_by: The body that issued it.
        valid_from: First instant of its validity, with time zone.
        valid_to: End of its validity, exclusive, with time zone.
    """

    secrecy_tech_id: str
    version: str
    certificate_number: str
    certificate_sha256: str
    issued_by: str
    valid_from: datetime
    valid_to: datetime

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            **{name: getattr(self, name) for name in (*_TEXTS, "certificate_sha256")},
            "valid_from": self.valid_from.isoformat(),
            "valid_to": self.valid_to.isoformat(),
        }


@runtime_checkable
class SecrecyProcessor(Protocol):
    """Turns true positions into processed ones. One function of position: no state, no order, no chance.

    Attributes:
        attestation: What its maker states.
    """

    @property
    def attestation(self) -> ProcessorAttestation:
        """What its maker states."""

    def process(
        self, lat: FloatArray, lon: FloatArray, height_m: FloatArray | None
    ) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """Process positions. May be called from several threads; must not change its arguments.

        Args:
            lat: Latitudes in degrees, EPSG:4326, float64, one dimension; may be empty.
            lon: Longitudes in degrees, likewise.
            height_m: Heights in metres, finite, or None. Latitudes and longitudes do not depend on them.

        Returns:
            Latitudes and longitudes in degrees of the processor's own system, and heights; float64 arrays of the
            same shape. Heights may be None where the processor gives none, and are where none were given.
        """


@lru_cache(maxsize=1)
def installed_processor() -> SecrecyProcessor:
    """The one processor that is installed.

    Raises:
        ProcessorError: There is none, there are several, or it cannot be loaded or is no ``SecrecyProcessor``.
    """
    entries = tuple(entry_points(group=GROUP))
    if len(entries) != 1:
        names = sorted(e.name for e in entries)
        raise ProcessorError(f"mode APPROVED needs one entry point of the group {GROUP} (got {names})")
    try:
        made = entries[0].load()()
    except Exception as error:
        raise ProcessorError(
            f"secrecy processor {entries[0].name} cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    return require_processor(made, entries[0].name)


def require_processor(made: object, name: str) -> SecrecyProcessor:
    """Return ``made`` where it has the parts of a processor.

    Raises:
        ProcessorError: It has not.
    """
    if not isinstance(made, SecrecyProcessor) or not callable(made.process):
        raise ProcessorError(f"secrecy processor {name} has no attestation and process()")
    return made


def require_attested(
    processor: SecrecyProcessor, *, now: datetime, certificate_sha256: str | None = None
) -> ProcessorAttestation:
    """The attestation of a processor, where it is complete and in force.

    1. It is a ``ProcessorAttestation``. 2. No text is missing or blank. 3. The digest is one. 4. The period is
    one. 5. ``now`` lies in it. 6. It names the certificate that the operator holds, where that is given.

    Args:
        processor: The processor.
        now: With time zone.
        certificate_sha256: Digest of the certificate's file that the operator was given; None where the
            operator's settings name none.

    Raises:
        ProcessorError: Any of these does not hold.
    """
    stated = processor.attestation
    if not isinstance(stated, ProcessorAttestation):  # 1
        raise ProcessorError(
            f"the attestation is of another type (got {type(stated).__name__}, expected ProcessorAttestation)"
        )
    for name in _TEXTS:  # 2
        text = getattr(stated, name)
        if not isinstance(text, str) or not text.strip() or len(text) > _LONGEST or not text.isprintable():
            raise ProcessorError(
                f"the attestation's {name} is missing "
                f"(got {str(text)[:_LONGEST]!r}, expected 1 to {_LONGEST} printable characters)"
            )
    digest = stated.certificate_sha256
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):  # 3
        raise ProcessorError(
            f"the attestation's certificate_sha256 is no digest (got {str(digest)[:64]!r}, "
            "expected 64 digits 0-9a-f)"
        )
    _require_in_force(stated, now)
    if certificate_sha256 is not None and digest != certificate_sha256:  # 6
        raise ProcessorError(
            f"the attestation names another certificate (got {digest!r}, expected {certificate_sha256!r})"
        )
    return stated


def _require_in_force(stated: ProcessorAttestation, now: datetime) -> None:
    begin, end = stated.valid_from, stated.valid_to
    moments = [begin, end, now]
    if not all(isinstance(m, datetime) and m.tzinfo is not None for m in moments) or end <= begin:  # 4
        raise ProcessorError(
            f"the attestation's period is not valid (got {begin} to {end}, expected aware and growing)"
        )
    if not begin <= now < end:  # 5
        raise ProcessorError(f"the attestation is not in force (got {now}, expected {begin} to {end})")
