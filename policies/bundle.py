"""The policy bundle: rules, dated legal data, catalogue and question schemas under one digest."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final

import rfc8785
import yaml
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from policies.errors import BundleError
from policies.question import Point

_DOMAIN = b"fleetgate policy bundle v1\n"
_ALGORITHM = "Ed25519"  # RFC 9864
STATEMENT_TYPE: Final = "fleetgate-policy-bundle+jws"
"""``typ`` of the statement that puts a bundle in force, whoever signs it and by whatever algorithm."""

_SHIPPED = {"rules": ".rego", "data": ".yaml", "questions": ".schema.json"}
_CATALOGUE = "catalogue.yaml"
_PARAMETER_FIELDS = frozenset({"unit", "source", "confidence", "values"})
_ENTRY_FIELDS = frozenset({"number", "clause", "confidence", "text_zh", "text_en"})
_STATEMENT_FIELDS = frozenset({"bundle", "version", "not_before", "not_after", "signer"})

Catalogue = Mapping[str, Mapping[str, Mapping[str, str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A complete set of policy files; two bundles of one digest judge alike.

    Attributes:
        files: Content by POSIX path below ``policies/``.
        digest: SHA-256 over the RFC 8785 form of the sorted (path, SHA-256) pairs, hexadecimal.
        version: The catalogue's version.
        catalogue: What each rule demands and rests on, by point and rule.
    """

    files: Mapping[str, bytes] = field(hash=False)
    digest: str
    version: str
    catalogue: Catalogue = field(hash=False)

    def modules(self) -> dict[str, str]:
        """Rego sources by path."""
        return {path: content.decode() for path, content in self.files.items() if path.endswith(".rego")}

    def data(self) -> dict[str, Any]:
        """Everything the rules read: ``law`` by file name, ``catalogue``, and the bundle's own digest."""
        law = {
            Path(path).stem: _read_yaml(content)
            for path, content in self.files.items()
            if path.startswith("data/")
        }
        return {"law": law, "catalogue": self.catalogue, "fleetgate_bundle": {"digest": self.digest}}


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedBundle:
    """A bundle whose statement was signed by a trusted key and is in force.

    Attributes:
        bundle: The bundle.
        signer: Who signed, as stated.
        not_before: First instant of validity, UTC.
        not_after: End of validity, UTC, exclusive.
    """

    bundle: Bundle
    signer: str
    not_before: datetime
    not_after: datetime

    def facts(self) -> dict[str, Any]:
        """``context.policy`` of every question."""
        return {
            "signed": True,
            "not_before": _instant(self.not_before),
            "not_after": _instant(self.not_after),
            "digest": self.bundle.digest,
        }


def bundle_of(files: Mapping[str, bytes], *, past: bool = False) -> Bundle:
    """Build a bundle from its files.

    Args:
        files: Content by POSIX path below ``policies/``.
        past: Whether it only explains what it decided once; a past version knew fewer points.

    Raises:
        BundleError: There is no rule, a file is not UTF-8 or YAML, the catalogue is incomplete, or a parameter of
            the law lacks its unit, source, confidence or value.
    """
    catalogue, version = _read_catalogue(files.get(_CATALOGUE, b""), past=past)
    try:
        for path, content in files.items():
            _check_law(path, _read_yaml(content)) if path.startswith("data/") else content.decode()
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise BundleError(f"policy file is unreadable: {error}") from error
    if not any(path.endswith(".rego") for path in files):
        raise BundleError("bundle holds no rules (got 0 Rego files)")
    pairs = [[path, hashlib.sha256(files[path]).hexdigest()] for path in sorted(files)]
    digest = hashlib.sha256(_DOMAIN + rfc8785.dumps(pairs)).hexdigest()
    return Bundle(files=dict(files), digest=digest, version=version, catalogue=catalogue)


def shipped_bundle() -> Bundle:
    """Load the bundle that ships with Fleetgate; unit tests of rules are not part of it.

    Raises:
        BundleError: A file of it is missing or malformed.
    """
    return bundle_in(resources.files("policies"))


def bundle_in(root: Traversable) -> Bundle:
    """Load the bundle of a folder laid out as ``policies/`` is: catalogue, ``rules``, ``data``, ``questions``.

    Raises:
        BundleError: A file is missing or malformed.
    """
    try:
        files = {_CATALOGUE: (root / _CATALOGUE).read_bytes()}
        for folder, suffix in _SHIPPED.items():
            files |= {
                path: content
                for path, content in walk(root / folder, folder)
                if path.endswith(suffix) and not path.endswith("_test.rego")
            }
    except OSError as error:
        raise BundleError(f"bundle cannot be read: {error}") from error
    return bundle_of(files)


def write_bundle(bundle: Bundle, directory: Path, *, guard: str | None = None) -> None:
    """Write a bundle so that ``opa run --server --bundle DIRECTORY`` serves it.

    Args:
        bundle: What is to be served.
        directory: Where; a new or empty folder.
        guard: Module ``system.authz``, by which the server admits requests (``policies.opa_server.guard``).

    Raises:
        BundleError: The directory exists and is not empty; old rules left beside new ones would judge too.
    """
    if directory.exists() and any(directory.iterdir()):
        raise BundleError(f"directory is not empty (got {str(directory)!r})")
    guards = {} if guard is None else {"system/authz.rego": guard}
    for path, source in {**bundle.modules(), **guards}.items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(source, "utf-8")
    (directory / "data.json").write_bytes(rfc8785.dumps(bundle.data()))
    (directory / ".manifest").write_bytes(rfc8785.dumps({"revision": bundle.digest, "roots": [""]}))


def statement_of(bundle: Bundle, *, signer: str, not_before: datetime, not_after: datetime) -> dict[str, str]:
    """What is signed to put a bundle in force.

    Args:
        bundle: What is put in force.
        signer: Who signs; shown with decisions, never personal data.
        not_before: First instant of validity, with time zone.
        not_after: End of validity, exclusive, with time zone.

    Raises:
        BundleError: The period is empty or lacks a time zone.
    """
    if not_before.tzinfo is None or not_after.tzinfo is None or not_after <= not_before:
        raise BundleError(
            f"period is not valid (got {not_before} to {not_after}, expected aware and growing)"
        )
    return {
        "bundle": bundle.digest,
        "version": bundle.version,
        "not_before": _instant(not_before),
        "not_after": _instant(not_after),
        "signer": signer,
    }


def sign_bundle(
    bundle: Bundle, key: OKPKey, *, signer: str, not_before: datetime, not_after: datetime
) -> str:
    """Sign the statement that puts a bundle in force, as a compact JWS (RFC 7515, algorithm of RFC 9864).

    Args:
        bundle: What is put in force.
        key: Ed25519 private key.
        signer: As for ``statement_of``.
        not_before: As for ``statement_of``.
        not_after: As for ``statement_of``.

    Raises:
        BundleError: The period is empty or lacks a time zone, or the key cannot sign.
    """
    statement = statement_of(bundle, signer=signer, not_before=not_before, not_after=not_after)
    try:
        return jws.serialize_compact(
            {"alg": _ALGORITHM, "typ": STATEMENT_TYPE}, rfc8785.dumps(statement), key, algorithms=[_ALGORITHM]
        )
    except (JoseError, ValueError) as error:
        raise BundleError(f"bundle could not be signed: {error}") from error


def verify_bundle(bundle: Bundle, statement: str, public_key: OKPKey, now: datetime) -> VerifiedBundle:
    """Verify that a bundle is in force (COMPLIANCE.md rule 1).

    1. The signature is Ed25519 by the trusted key over a statement of this type. 2. ``verify_claims`` accepts it.

    Raises:
        BundleError: Any of these does not hold.
    """
    try:  # 1
        signed = jws.deserialize_compact(statement.encode(), public_key, algorithms=[_ALGORITHM])
        header, claims = signed.headers(), json.loads(signed.payload)
    except (JoseError, ValueError) as error:
        raise BundleError(f"bundle statement is not signed by the trusted key: {error}") from error
    if header.get("typ") != STATEMENT_TYPE:
        raise BundleError(
            f"statement is of another type (got {header.get('typ')!r}, expected {STATEMENT_TYPE!r})"
        )
    return verify_claims(bundle, claims, now)  # 2


def verify_claims(bundle: Bundle, claims: object, now: datetime) -> VerifiedBundle:
    """Verify what a statement says whose signature, by the trusted key, was verified.

    1. The statement has exactly its fields. 2. It names this bundle's digest and version. 3. ``now`` lies in its
    period.

    Raises:
        BundleError: Any of these does not hold.
    """
    if not isinstance(claims, dict) or claims.keys() != _STATEMENT_FIELDS:  # 1
        raise BundleError(f"statement is malformed (got {claims!r}, expected {sorted(_STATEMENT_FIELDS)})")
    if not all(isinstance(value, str) for value in claims.values()):
        raise BundleError(f"statement is malformed (got {claims!r}, expected text fields)")
    if (claims["bundle"], claims["version"]) != (bundle.digest, bundle.version):  # 2
        raise BundleError(
            f"statement is of another bundle (got {claims['bundle']!r} version {claims['version']!r}, "
            f"expected {bundle.digest!r} version {bundle.version!r})"
        )
    not_before, not_after = _moment(claims["not_before"]), _moment(claims["not_after"])
    if now.tzinfo is None or not not_before <= now < not_after:  # 3
        raise BundleError(f"bundle is not in force (got {now}, expected {not_before} to {not_after})")
    return VerifiedBundle(bundle=bundle, signer=claims["signer"], not_before=not_before, not_after=not_after)


def _read_catalogue(content: bytes, *, past: bool) -> tuple[Catalogue, str]:
    try:
        document = _read_yaml(content)
    except yaml.YAMLError as error:
        raise BundleError(f"catalogue is not YAML: {error}") from error
    if not isinstance(document, dict) or document.keys() != {"version", "rules"}:
        raise BundleError(f"catalogue is malformed (got {document!r}, expected 'version' and 'rules')")
    version, rules = document["version"], document["rules"]
    known = isinstance(rules, dict) and (rules.keys() <= set(Point) if past else rules.keys() == set(Point))
    if not isinstance(version, str) or not known:
        raise BundleError(f"catalogue is malformed (got version {version!r}, expected rules for {[*Point]})")
    for point, entries in rules.items():
        if not isinstance(entries, dict) or not entries:
            raise BundleError(f"no rules for {point} (got {entries!r}, expected at least one)")
        for rule, entry in entries.items():
            if (
                not isinstance(entry, dict)
                or entry.keys() != _ENTRY_FIELDS
                or not all(isinstance(value, str) and value for value in entry.values())
            ):
                raise BundleError(f"catalogue entry {point}/{rule} is malformed (got {entry!r})")
    return rules, version


def _check_law(path: str, parameters: object) -> None:
    """Refuse a parameter without unit, source, confidence or value; an empty list would forbid nothing."""
    if not isinstance(parameters, dict) or not parameters:
        raise BundleError(f"{path} holds no parameters of the law (got {parameters!r})")
    for name, parameter in parameters.items():
        values = parameter.get("values") if isinstance(parameter, dict) else None
        if (
            not isinstance(values, dict)
            or not values
            or parameter.keys() != _PARAMETER_FIELDS
            or any(value in (None, "", [], {}) for value in values.values())
        ):
            raise BundleError(f"{path} {name} is no parameter of the law (got {parameter!r})")


def _read_yaml(content: bytes) -> Any:
    return yaml.load(content, Loader=yaml.CSafeLoader)


def walk(folder: Traversable, prefix: str) -> list[tuple[str, bytes]]:
    """Every file of a folder with its POSIX path behind ``prefix``.

    Raises:
        OSError: The folder or a file of it cannot be read.
    """
    found: list[tuple[str, bytes]] = []
    for entry in folder.iterdir():
        path = f"{prefix}/{entry.name}"
        found.extend(walk(entry, path) if entry.is_dir() else [(path, entry.read_bytes())])
    return found


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BundleError(f"statement holds no instant (got {text!r}, expected RFC 3339)") from error
    if moment.tzinfo is None:
        raise BundleError(f"statement holds a local time (got {text!r}, expected RFC 3339 in UTC)")
    return moment
