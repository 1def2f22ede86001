"""The signature profile of Fleetgate: what a signature must say and cover (RFC 9421 sections 2 and 3.2).

One signature per request, algorithm ``ed25519`` (``sm2-sm3`` for an SM2 key), tag ``fleetgate``, parameters
``created``, ``expires``, ``nonce``, ``keyid``, ``alg`` and ``tag`` all present. It covers the method, the target
(``@target-uri``, or ``@authority``, ``@path`` and ``@query``), ``content-digest`` where the request has a body
and ``fleetgate-purpose`` and ``idempotency-key`` where the request states one.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from http_message_signatures import HTTPMessageSignaturesException, HTTPMessageVerifier
from http_message_signatures.algorithms import ED25519

from gateway.api.refusals import SignatureReason, SignatureRefusedError
from gateway.api.sm2_signatures import Sm2Sm3
from gateway.vault.jws import PublicKey
from gateway.vault.sm2 import Sm2PublicKey

TAG: Final = "fleetgate"
PURPOSE_HEADER: Final = "fleetgate-purpose"
IDEMPOTENCY_HEADER: Final = "idempotency-key"
CLOCK_SKEW_S: Final = 5
DEFAULT_MAX_AGE_S: Final = 60
TARGET_PARTS: Final = ("@authority", "@path", "@query")

_PARAMETERS: Final = frozenset({"created", "expires", "nonce", "keyid", "alg", "tag"})
_ALGORITHMS: Final = (ED25519.algorithm_id, Sm2Sm3.algorithm_id)
_NONCE: Final = re.compile(r"[A-Za-z0-9_\-+/=]{16,128}")

KeyResolver = Callable[[str], PublicKey | None]
FieldLines = Mapping[str, Sequence[str]]


class ProfileVerifier(HTTPMessageVerifier):
    """Steps 3 to 6 of ``verify_request``, on what the library itself parsed: one parser only."""

    def __init__(
        self,
        *,
        fields: FieldLines,
        required: Sequence[str],
        resolve_key: KeyResolver,
        now: datetime,
        max_age_s: int,
    ) -> None:
        super().__init__(signature_algorithm=ED25519, key_resolver=self)  # type: ignore[arg-type]
        self.fields = fields
        self.required = required
        self.resolve_key = resolve_key
        self.now = now.timestamp()
        self.max_age_s = max_age_s
        self.covered: list[str] = []
        self.key: PublicKey | None = None

    def resolve_public_key(self, key_id: str) -> Any:
        """The key that step 6 resolved; the library asks once the steps before it have passed."""
        if self.key is None:
            raise HTTPMessageSignaturesException(f"key {key_id!r} was not resolved")
        return self.key if isinstance(self.key, Sm2PublicKey) else self.key.public_key

    def validate_created_and_expires(self, sig_input: Any, max_age: timedelta | None = None) -> None:
        """Check parameters, times, coverage and key, in this order; the caller's clock decides.

        Args:
            sig_input: The parsed member of Signature-Input.
            max_age: The library's limit, unused: the profile's ``max_age_s`` applies.
        """
        del max_age
        _check_parameters(sig_input.params)  # 3
        self._check_times(sig_input.params)  # 4
        self.covered = _covered(sig_input)  # 5
        self._check_coverage()
        keyid = sig_input.params["keyid"]
        key = self.resolve_key(keyid)  # 6
        if key is None:
            raise SignatureRefusedError(SignatureReason.UNKNOWN_KEY, f"keyid {keyid!r}")
        # The key decides, never the request; the library then holds ``alg`` against it.
        self.signature_algorithm = Sm2Sm3 if isinstance(key, Sm2PublicKey) else ED25519
        if sig_input.params["alg"] != self.signature_algorithm.algorithm_id:
            raise SignatureRefusedError(
                SignatureReason.ALGORITHM,
                f"alg of {keyid!r} (got {sig_input.params['alg']!r}, expected "
                f"{self.signature_algorithm.algorithm_id!r})",
            )
        self.key = key

    def _check_times(self, params: Mapping[str, Any]) -> None:
        created, expires = params["created"], params["expires"]
        if expires <= created:
            raise SignatureRefusedError(
                SignatureReason.PARAMETERS, f"expires (got {expires}, expected > created {created})"
            )
        if created > self.now + CLOCK_SKEW_S:
            raise SignatureRefusedError(
                SignatureReason.FUTURE, f"created (got {created}, expected ≤ {self.now + CLOCK_SKEW_S:.0f})"
            )
        if self.now - created > self.max_age_s:
            age = self.now - created
            raise SignatureRefusedError(
                SignatureReason.EXPIRED, f"age in seconds (got {age:.0f}, expected ≤ {self.max_age_s})"
            )
        if expires < self.now - CLOCK_SKEW_S:
            raise SignatureRefusedError(
                SignatureReason.EXPIRED, f"expires (got {expires}, expected ≥ {self.now - CLOCK_SKEW_S:.0f})"
            )

    def _check_coverage(self) -> None:
        covered = set(self.covered)
        missing = [name for name in self.required if name not in covered]
        if "@target-uri" not in covered:
            missing += [name for name in TARGET_PARTS if name not in covered]
        if missing:
            raise SignatureRefusedError(
                SignatureReason.UNCOVERED,
                f"components (got {sorted(covered)}, missing {sorted(set(missing))})",
            )
        for name in self.covered:
            if not name.startswith("@"):
                only_line(self.fields, name)


def required_by(fields: FieldLines) -> list[str]:
    """What the request itself demands to be covered, besides its target."""
    required = ["@method"]
    has_body = "transfer-encoding" in fields or any(
        value.strip() != "0" for value in fields.get("content-length", ())
    )
    if has_body or "content-digest" in fields:
        required.append("content-digest")
    required += [name for name in (PURPOSE_HEADER, IDEMPOTENCY_HEADER) if name in fields]
    return required


def only_line(fields: FieldLines, name: str) -> None:
    """Demand that a field occurs exactly once.

    Raises:
        SignatureRefusedError: It is missing or repeated.
    """
    count = len(fields.get(name, ()))
    if count != 1:
        reason = SignatureReason.DUPLICATED if count else SignatureReason.UNCOVERED
        raise SignatureRefusedError(reason, f"field {name!r} (got {count} lines, expected 1)")


def _check_parameters(params: Mapping[str, Any]) -> None:
    got = set(params)
    if got != _PARAMETERS:
        raise SignatureRefusedError(
            SignatureReason.PARAMETERS, f"parameters (got {sorted(got)}, expected {sorted(_PARAMETERS)})"
        )
    if params["alg"] not in _ALGORITHMS:
        raise SignatureRefusedError(
            SignatureReason.ALGORITHM, f"alg (got {params['alg']!r}, expected one of {_ALGORITHMS})"
        )
    if params["tag"] != TAG:
        raise SignatureRefusedError(
            SignatureReason.PARAMETERS, f"tag (got {params['tag']!r}, expected {TAG!r})"
        )
    if not _NONCE.fullmatch(params["nonce"]):
        raise SignatureRefusedError(
            SignatureReason.PARAMETERS,
            f"nonce (got {params['nonce'][:130]!r}, expected 16 to 128 base64 characters)",
        )


def _covered(sig_input: Any) -> list[str]:
    names = [str(item.value) for item in sig_input]
    duplicated = [name for name, count in Counter(names).items() if count > 1]
    modified = [str(item) for item in sig_input if item.params]
    if duplicated or modified:
        raise SignatureRefusedError(
            SignatureReason.MALFORMED,
            f"components (got {duplicated + modified}, expected each once, without parameters)",
        )
    return names
