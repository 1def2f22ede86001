"""The frozen list of what is trained on: what it says, who verifies it, and everything that it refuses."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import mlcroissant
import pytest
import rfc8785
from joserfc import jws
from joserfc.jwk import OKPKey

from pipeline.client import GatewayClient
from pipeline.errors import UnreachableError
from pipeline.training.errors import (
    LabelFileError,
    ManifestExpiredError,
    ReleaseEndedError,
    TrainingManifestError,
)
from pipeline.training.labels import hold_against_picture, read_coco
from pipeline.training.training_manifest import (
    TrainingManifest,
    confirm_training_manifest,
    freeze,
    read_training_manifest,
)
from training_releases import CONTENTS, COUNTS, END, coco


def now() -> datetime:
    return datetime.now(tz=UTC)


def payload_of(manifest: TrainingManifest) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(jws.extract_compact(manifest.statement.encode()).payload)
    return found


def signed(payload: Any, key: OKPKey, typ: str = "fleetgate-training+jwt") -> str:
    header = {"alg": "Ed25519", "kid": "k", "typ": typ}
    return jws.serialize_compact(header, rfc8785.dumps(payload), key, algorithms=["Ed25519"])


def test_it_lists_every_labelled_item_with_digest_purpose_and_the_first_end(
    manifest: TrainingManifest, client: GatewayClient, labels: Any
):
    assert {(s.release, s.name) for s in manifest.samples} == {
        (release, name) for release, contents in CONTENTS.items() for name in contents
    }
    for sample in manifest.samples:
        item = client.manifest(sample.release).by_name[sample.name]
        assert (sample.sha256, sample.size) == (item.sha256, item.size)
    assert manifest.purpose == "perception-training"
    assert manifest.expires_at == datetime.fromisoformat(END)
    assert manifest.classes == ("car", "行人")
    assert manifest.labels == labels.sha256
    confirm_training_manifest(manifest, client)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of rdflib, which mlcroissant calls
def test_programs_that_read_croissant_read_it(manifest: TrainingManifest):
    described = mlcroissant.Dataset(jsonld=payload_of(manifest)).metadata

    assert described.conforms_to == ["http://mlcommons.org/croissant/1.1"]
    assert {each.id for each in described.distribution} == {
        *COUNTS,
        *(f"{release}/items" for release in COUNTS),
    }
    assert not described.ctx.issues.errors


def test_without_labels_every_item_is_a_sample_and_an_earlier_end_is_kept(
    client: GatewayClient, principal_key: OKPKey
):
    end = now() + timedelta(days=3)

    manifest = freeze("a", client, ["rel-b"], key=principal_key, now=now(), expires_at=end)

    assert (len(manifest.samples), manifest.labels, manifest.classes) == (COUNTS["rel-b"], None, ())
    assert manifest.expires_at == end


def test_another_key_an_altered_statement_and_an_expired_one_are_refused(
    manifest: TrainingManifest, principal_key: OKPKey
):
    with pytest.raises(TrainingManifestError, match="does not verify"):
        read_training_manifest(manifest.statement, OKPKey.generate_key("Ed25519"), now=now())
    head, body, signature = manifest.statement.split(".")
    with pytest.raises(TrainingManifestError, match="does not verify"):
        read_training_manifest(f"{head}.{body[:-4]}AAAA.{signature}", principal_key, now=now())
    with pytest.raises(TrainingManifestError, match="type"):
        read_training_manifest(signed(payload_of(manifest), principal_key, "JWT"), principal_key, now=now())
    with pytest.raises(ManifestExpiredError, match="2100-01-01"):
        read_training_manifest(manifest.statement, principal_key, now=datetime(2100, 1, 1, tzinfo=UTC))


MALFORMED = {
    "no sample": (lambda own: own.update(samples=[]), "samples"),
    "sample of no listed release": (lambda own: own["samples"][0].__setitem__(0, "rel-x"), "samples"),
    "twice": (lambda own: own["samples"].append(own["samples"][0]), "distinct"),
    "digest": (lambda own: own["samples"][0].__setitem__(2, "ab"), "64 hexadecimal"),
    "size": (lambda own: own["samples"][0].__setitem__(3, 0), "size"),
    "version": (lambda own: own.update(version=2), "version 1"),
    "no time zone": (lambda own: own.update(expires_at="2099-01-01T00:00:00"), "offset"),
    "missing": (lambda own: own.pop("purpose"), "purpose"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_one_is_refused_with_the_member(
    manifest: TrainingManifest, principal_key: OKPKey, case: str
):
    spoil, told = MALFORMED[case]
    payload = payload_of(manifest)
    spoil(payload["fleetgate:training"])

    with pytest.raises(TrainingManifestError, match=told):
        read_training_manifest(signed(payload, principal_key), principal_key, now=now())


def test_ends_that_are_past_or_later_than_a_release_are_refused(client: GatewayClient, principal_key: OKPKey):
    for end in (now() - timedelta(seconds=1), datetime(2100, 1, 2, tzinfo=UTC)):
        with pytest.raises(TrainingManifestError, match="expires_at"):
            freeze("a", client, list(COUNTS), key=principal_key, now=now(), expires_at=end)


def test_a_revoked_release_and_other_content_are_refused_when_the_gate_is_asked(
    manifest: TrainingManifest, client: GatewayClient, two: Any
):
    two.publish("rel-b", {**CONTENTS["rel-b"], next(iter(CONTENTS["rel-b"])): b"another"})
    with pytest.raises(TrainingManifestError, match=r"sample 'image/rel-b-000\.png' of release 'rel-b'"):
        confirm_training_manifest(manifest, client)
    two.publish("rel-b", digest="ab" * 32)
    with pytest.raises(TrainingManifestError, match="digest of release 'rel-b'"):
        confirm_training_manifest(manifest, client)
    two.refused["rel-a"] = 403, "denied"
    with pytest.raises(ReleaseEndedError, match="'rel-a' may not be read any more: 403 denied"):
        confirm_training_manifest(manifest, client)


def test_labels_of_what_no_release_holds_are_refused(client: GatewayClient, principal_key: OKPKey):
    stray = read_coco(
        coco(images=[{"id": 0, "file_name": "elsewhere.png", "width": 4, "height": 4}], annotations=[])
    )

    with pytest.raises(TrainingManifestError, match=r"elsewhere\.png"):
        freeze("a", client, list(COUNTS), key=principal_key, now=now(), labels=stray)


def box(*bbox: float, image: int = 0, category: int = 1) -> dict[str, Any]:
    return {"annotations": [{"id": 5, "image_id": image, "category_id": category, "bbox": bbox}]}


SPOILT = {
    "beyond the border": (box(10, 1, 4, 2), "annotation 5"),
    "no extent": (box(1, 1, 0, 2), "annotation 5"),
    "three numbers": (box(1, 1, 2), "ValueError"),
    "unknown category": (box(1, 1, 1, 1, category=9), "category 9"),
    "unknown picture": (box(1, 1, 1, 1, image=999), "image 999"),
    "NaN": (box(float("nan"), 1, 1, 1), "NaN is no number"),
    "no pictures": ({"images": [], "annotations": []}, "images"),
    "no size": ({"images": [{"id": 0, "file_name": "a", "width": "4", "height": 4}]}, "width"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_a_spoilt_label_file_is_refused_with_what_is_wrong(case: str):
    changes, told = SPOILT[case]

    with pytest.raises(LabelFileError, match=told):
        read_coco(coco(**changes))


def test_classes_that_nobody_knows_and_other_sizes_are_refused(labels: Any):
    with pytest.raises(LabelFileError, match="行人"):
        read_coco(coco(), classes=["car"])
    name, content = next(iter(CONTENTS["rel-a"].items()))
    hold_against_picture(name, labels.pictures[name], content)
    other = read_coco(coco(images=[{"id": 0, "file_name": name, "width": 8, "height": 12}], annotations=[]))
    with pytest.raises(LabelFileError, match=r"got \(8, 12\), expected \(12, 8\)"):
        hold_against_picture(name, other.pictures[name], content)
    with pytest.raises(LabelFileError, match="no picture"):
        hold_against_picture(name, labels.pictures[name], b"text")


def test_a_gate_that_does_not_answer_is_told_as_such(manifest: TrainingManifest, access: Any):
    from dataclasses import replace  # noqa: PLC0415

    with replace(access, url="http://127.0.0.1:1").client() as nobody, pytest.raises(UnreachableError):
        confirm_training_manifest(manifest, nobody)
