"""Regulatory numbers that the gate itself acts on, read from the signed policy data in force."""

from gateway.errors import ConfigurationError
from gateway.flow.gate import Gate


def raw_retention_days(gate: Gate) -> int:
    """Days that an unattested raw original may stay after it left the vehicle (COMPLIANCE.md C8, rule 21).

    Raises:
        ConfigurationError: The policy data in force lacks the number.
    """
    values = gate.bundle.bundle.data()["law"].get("retention", {}).get("raw_days", {}).get("values", {})
    today = gate.clock().date().isoformat()
    in_force = [day for day in values if str(day) <= today]
    if not in_force:
        raise ConfigurationError("policy data names no raw retention (expected retention.raw_days)")
    return int(values[max(in_force)])
