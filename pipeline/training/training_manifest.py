"""The frozen list of what a model is trained on, signed by the engineer who trains it.

A compact JWS (Ed25519) over RFC 8785 JSON, which is Croissant 1.1 JSON-LD with members of our own: releases with
their digests, every sample with digest and size, classes, digest of the labels, purpose and end of use.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

import rfc8785
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from pipeline.client import GatewayClient
from pipeline.errors import RefusedError
from pipeline.manifest import ReleaseManifest
from pipeline.sealed_cache import ENDING_STATUSES, SealedCache
from pipeline.training.errors import ManifestExpiredError, ReleaseEndedError, TrainingManifestError
from pipeline.training.labels import LabelFile

TRAINING_TYP: Final = "fleetgate-training+jwt"
VERSION: Final = 1

_ALGORITHM: Final = "Ed25519"
_NAMESPACE: Final = "urn:fleetgate:terms:"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_OWN: Final = "fleetgate:training"


class _Registry(jws.JWSRegistry):
    """joserfc's registry with room for long lists of samples."""

    max_payload_length = 256 * 1024 * 1024


_REGISTRY: Final = _Registry(algorithms=[_ALGORITHM])


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSample:
    """One item of a release that is trained on."""

    release: str
    name: str
    sha256: str
    size: int
    media_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingManifest:
    """A training manifest that was verified.

    Attributes:
        name: What people call it.
        digest: SHA-256 of the signed statement.
        purpose: The one purpose of all its releases.
        expires_at: End of use, never after that of a release.
        releases: Digest of each release by its id.
        samples: What is trained on, sorted by release and name.
        classes: Classes of the labels, sorted; empty without labels.
        labels: SHA-256 of the file of labels; None without.
        artefacts: Ids of registered artefacts that it rests on, such as the label set; sorted.
        statement: The signed form of all this.
    """

    name: str
    digest: str
    purpose: str
    expires_at: datetime
    releases: Mapping[str, str]
    samples: tuple[TrainingSample, ...]
    classes: tuple[str, ...]
    labels: str | None
    artefacts: tuple[str, ...]
    statement: str

    def of_release(self, release: str) -> tuple[TrainingSample, ...]:
        """The samples of one release."""
        return tuple(sample for sample in self.samples if sample.release == release)


def freeze(
    name: str,
    source: GatewayClient | SealedCache,
    releases: Sequence[str],
    *,
    key: OKPKey,
    now: datetime,
    labels: LabelFile | None = None,
    artefacts: Sequence[str] = (),
    expires_at: datetime | None = None,
) -> TrainingManifest:
    """Fix what is trained on and sign it.

    With labels, the samples are the pictures that the file names, as ``name`` or, where two releases have an item
    of one name, as ``release/name``; without, every item that is not empty.

    Args:
        name: What people call it.
        source: Where releases are read.
        releases: Ids of the releases.
        key: The engineer's private key.
        now: The time.
        labels: Labels of its pictures.
        artefacts: Ids of registered artefacts that it rests on, such as the label set.
        expires_at: End of use; by default, and at most, the earliest end of a release.

    Raises:
        TrainingManifestError: There is nothing to train on, labels name what no release holds, or the end of use
            is past or after that of a release.
        PipelineError: The gate refuses, or what arrives is not what was signed.
    """
    from pipeline.training.croissant import describe  # noqa: PLC0415 - a library of the extra, slow to load

    manifests = [source.manifest(release) for release in sorted(set(releases))]
    samples = [
        TrainingSample(release=m.release, name=i.name, sha256=i.sha256, size=i.size, media_type=i.media_type)
        for m in manifests
        for i in sorted(m.items, key=lambda item: item.name)
        if i.size > 0
    ]
    if labels is not None:
        samples = _labelled(samples, labels)
    if not samples:
        raise TrainingManifestError(f"samples of {sorted(set(releases))} (got none, expected at least 1)")
    used = {sample.release for sample in samples}
    manifests = [manifest for manifest in manifests if manifest.release in used]
    end = _end(manifests, expires_at, now)
    payload = describe(
        name=name,
        description=f"Frozen for {manifests[0].purpose}",
        releases={m.release: m.digest for m in manifests},
        media_types=sorted({sample.media_type for sample in samples}),
        at=now,
    )
    payload["@context"] |= {"fleetgate": _NAMESPACE, _OWN: {"@id": f"{_NAMESPACE}training", "@type": "@json"}}
    payload[_OWN] = {
        "version": VERSION,
        "purpose": manifests[0].purpose,
        "frozen_at": now.isoformat(),
        "expires_at": end.isoformat(),
        "releases": {m.release: m.digest for m in manifests},
        "classes": list(labels.classes) if labels else [],
        "labels": labels.sha256 if labels else None,
        "artefacts": sorted(set(artefacts)),
        "samples": [[s.release, s.name, s.sha256, s.size, s.media_type] for s in samples],
    }
    header = {"alg": _ALGORITHM, "kid": str(key.thumbprint()), "typ": TRAINING_TYP}
    statement = jws.serialize_compact(header, rfc8785.dumps(payload), key, algorithms=[_ALGORITHM])
    return read_training_manifest(statement, key, now=now)


def read_training_manifest(statement: str, key: OKPKey, *, now: datetime) -> TrainingManifest:
    """Verify a training manifest and give it its type; the gate is not asked, see ``confirm_training_manifest``.

    1. It is a compact JWS of Ed25519 and of our type, and verifies under the engineer's key.
    2. The payload is one JSON object in RFC 8785 form and of our version.
    3. Every member is well formed; samples are distinct, and each listed release has one.
    4. Its end of use is to come.

    Raises:
        TrainingManifestError: A step fails.
        ManifestExpiredError: Step 4 fails.
    """
    payload = _verified_payload(statement, key)  # 1, 2
    try:
        manifest = _manifest(payload, statement)  # 3
    except (KeyError, TypeError, ValueError) as error:
        raise TrainingManifestError(
            f"training manifest is malformed: {type(error).__name__}: {error}"
        ) from error
    if manifest.expires_at <= now:  # 4
        raise ManifestExpiredError(
            f"training manifest {manifest.name!r} (got end of use {manifest.expires_at.isoformat()}, "
            f"expected after {now.isoformat()})"
        )
    return manifest


def confirm_training_manifest(manifest: TrainingManifest, client: GatewayClient) -> None:
    """Ask the gate for each release anew and hold the samples against what the operator signed.

    Artefacts that it rests on, such as the label set, must stand, too.

    Raises:
        ReleaseEndedError: A release was revoked, or may not be read any more, or an artefact rests on one.
        TrainingManifestError: A release or sample is another one now, or the purpose is another.
        PipelineError: The gate cannot be asked, or what arrives is not what was signed.
    """
    for release, digest in manifest.releases.items():
        try:
            held = client.confirm(release)
        except RefusedError as error:
            if error.status in ENDING_STATUSES:
                raise ReleaseEndedError(f"release {release!r} may not be read any more: {error}") from error
            raise
        for field, got, expected in (
            ("digest", digest, held.digest),
            ("purpose", manifest.purpose, held.purpose),
        ):
            if got != expected:
                raise TrainingManifestError(
                    f"{field} of release {release!r} (got {got}, expected {expected})"
                )
        for sample in manifest.of_release(release):
            item = held.by_name.get(sample.name)
            if item is None or (sample.sha256, sample.size) != (item.sha256, item.size):
                expected_item = None if item is None else (item.sha256, item.size)
                raise TrainingManifestError(
                    f"sample {sample.name!r} of release {release!r} "
                    f"(got {(sample.sha256, sample.size)}, expected {expected_item})"
                )
    _confirm_artefacts(manifest, client)


def _confirm_artefacts(manifest: TrainingManifest, client: GatewayClient) -> None:
    for artefact in manifest.artefacts:
        standing = client.standing(artefact)
        if standing.revoked:
            raise ReleaseEndedError(
                f"artefact {artefact} rests on revoked releases {sorted(standing.revoked_releases)}"
            )


def _labelled(samples: Sequence[TrainingSample], labels: LabelFile) -> list[TrainingSample]:
    named = label_names(samples, labels)
    return [sample for sample in samples if (sample.release, sample.name) in named]


def label_names(samples: Sequence[TrainingSample], labels: LabelFile) -> dict[tuple[str, str], str]:
    """The name under which a file of labels knows each sample that it labels.

    Raises:
        TrainingManifestError: The file names what is no sample, or what is a sample of two releases.
    """
    places: dict[str, list[tuple[str, str]]] = {}
    for sample in samples:
        for name in (sample.name, f"{sample.release}/{sample.name}"):
            places.setdefault(name, []).append((sample.release, sample.name))
    found: dict[tuple[str, str], str] = {}
    for name in labels.pictures:
        at = places.get(name, [])
        if len(at) != 1 or at[0] in found:
            raise TrainingManifestError(
                f"labelled picture {name!r} (got {len(at)} items of that name, expected 1, labelled once)"
            )
        found[at[0]] = name
    return found


def _end(manifests: Sequence[ReleaseManifest], asked: datetime | None, now: datetime) -> datetime:
    latest = min(manifest.expires_at for manifest in manifests)
    end = latest if asked is None else asked
    if end.tzinfo is None:
        raise TrainingManifestError(f"expires_at (got {end.isoformat()}, expected a time with its offset)")
    if not now < end <= latest:
        raise TrainingManifestError(
            f"expires_at (got {end.isoformat()}, expected after {now.isoformat()} and at most "
            f"{latest.isoformat()}, when the first release ends)"
        )
    return end.astimezone(UTC)


def _verified_payload(statement: str, key: OKPKey) -> Mapping[str, Any]:
    try:
        parsed = jws.deserialize_compact(statement.strip(), key, registry=_REGISTRY)
        payload = json.loads(parsed.payload)
        canonical = isinstance(payload, dict) and rfc8785.dumps(payload) == parsed.payload
    except (JoseError, ValueError, RecursionError) as error:
        raise TrainingManifestError(
            f"training manifest does not verify under the key {key.thumbprint()}: {error}"
        ) from error
    kind = parsed.headers().get("alg"), parsed.headers().get("typ")
    if kind != (_ALGORITHM, TRAINING_TYP):
        raise TrainingManifestError(f"type (got {kind}, expected {(_ALGORITHM, TRAINING_TYP)})")
    if not canonical:
        raise TrainingManifestError("training manifest is not a JSON object in RFC 8785 form")
    own = payload.get(_OWN)
    if not isinstance(own, dict) or own.get("version") != VERSION:
        raise TrainingManifestError(
            f"{_OWN} (got {type(own).__name__}, expected an object of version {VERSION})"
        )
    return dict(payload)


def _manifest(payload: Mapping[str, Any], statement: str) -> TrainingManifest:
    own = payload[_OWN]
    releases = {str(release): _digest(digest) for release, digest in own["releases"].items()}
    samples = tuple(_sample(entry) for entry in own["samples"])
    if not samples or {sample.release for sample in samples} != set(releases):
        raise ValueError("samples (expected at least 1 of each listed release, and of no other)")
    if len({(sample.release, sample.name) for sample in samples}) != len(samples):
        raise ValueError("samples (expected distinct ones)")
    end = datetime.fromisoformat(own["expires_at"])
    if end.tzinfo is None:
        raise ValueError(f"expires_at (got {own['expires_at']!r}, expected a time with its offset)")
    return TrainingManifest(
        name=str(payload["name"]),
        digest=sha256(statement.strip().encode()).hexdigest(),
        purpose=str(own["purpose"]),
        expires_at=end,
        releases=releases,
        samples=samples,
        classes=tuple(str(each) for each in own["classes"]),
        labels=None if own["labels"] is None else _digest(own["labels"]),
        artefacts=tuple(_digest(each) for each in own.get("artefacts", [])),
        statement=statement.strip(),
    )


def _sample(entry: Any) -> TrainingSample:
    release, name, digest, size, media_type = entry
    if type(size) is not int or size <= 0:
        raise ValueError(f"size of {name!r} (got {size!r}, expected a positive count of bytes)")
    return TrainingSample(
        release=str(release), name=str(name), sha256=_digest(digest), size=size, media_type=str(media_type)
    )


def _digest(value: Any) -> str:
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise ValueError(f"digest (got {value!r}, expected 64 hexadecimal digits)")
    return value
