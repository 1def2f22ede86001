"""Sealed shards: what lies on disk, how writing resumes, what is refused, what a refusal by the gate wipes."""

import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import OKPKey

from pipeline.client import GatewayClient
from pipeline.errors import KeyFileError, RefusedError, RevokedArtefactError, UnregisteredError
from pipeline.training.errors import (
    LabelFileError,
    LeaseError,
    ManifestExpiredError,
    ReleaseEndedError,
    ShardError,
    TrainingManifestError,
)
from pipeline.training.labels import read_coco
from pipeline.training.lease import Lease
from pipeline.training.shard_file import StoredSample
from pipeline.training.shards import ShardFolder, Written, cut, write_shards
from pipeline.training.training_manifest import TrainingManifest, freeze
from training_releases import CONTENTS, COUNTS, SHARD_BYTES, TwoReleases, coco

Write = Callable[..., Written]


def files(shards: ShardFolder, pattern: str = "*/*.shard") -> list[Path]:
    return sorted(shards.folder.glob(pattern))


def of(shards: ShardFolder, release: str) -> Path:
    return shards.folder / sha256(release.encode()).hexdigest()[:32]


def everything(shards: ShardFolder, release: str) -> list[StoredSample]:
    found = []
    for number in shards.numbers(release):
        with shards.open(release, number) as shard:
            found += [shard.read(place) for place in range(len(shard))]
    return found


def test_every_sample_comes_back_with_its_labels(write: Write, shards: ShardFolder, labels: Any):
    done = write()

    assert done.samples == sum(COUNTS.values())
    assert done.written == len(files(shards)) > len(COUNTS)
    for release, contents in CONTENTS.items():
        found = everything(shards, release)
        assert {s.name: s.content for s in found} == contents
        for sample in found:
            assert json.loads(sample.labels) == labels.pictures[sample.name].document()


def test_samples_open_in_any_order(write: Write, shards: ShardFolder):
    write(shard_bytes=10**6)

    with shards.open("rel-a", 0) as shard:
        names = [shard.read(place).name for place in (20, 3, 3, 11)]
    assert names == [f"image/rel-a-{n:03}.png" for n in (20, 3, 3, 11)]


def test_nothing_on_disk_is_plaintext(write: Write, shards: ShardFolder):
    write()

    written = b"".join(path.read_bytes() for path in shards.folder.rglob("*") if path.is_file())
    for piece in (b"PNG", b"IDAT", b"rel-a", b"image/", "行人".encode(), b"width"):
        assert piece not in written
    assert not any("rel-a" in str(path) for path in shards.folder.rglob("*"))


def test_a_second_run_keeps_what_is_there_and_asks_for_nothing(write: Write, shards: ShardFolder, two: Any):
    first = write()
    before = {path: path.stat().st_mtime_ns for path in files(shards)}
    two.asked.clear()

    again = write()

    assert (again.written, again.kept) == (0, first.written)
    assert {path: path.stat().st_mtime_ns for path in files(shards)} == before
    assert two.asked == []


def test_a_run_that_broke_goes_on_where_it_stopped(write: Write, shards: ShardFolder, two: Any):
    def stop(done: int, _of: int) -> None:
        if done == 15:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(progress=stop)
    kept = files(shards)
    assert kept
    assert files(shards, "*/*.partial") == []
    two.asked.clear()

    done = write()

    assert done.kept == len(kept)
    assert done.written == len(files(shards)) - len(kept)
    assert len(two.asked) < sum(COUNTS.values())
    assert {s.name: s.content for s in everything(shards, "rel-a")} == CONTENTS["rel-a"]


def test_what_a_killed_writer_left_is_removed_and_one_writes_at_a_time(write: Write, shards: ShardFolder):
    write()
    left = of(shards, "rel-a") / "0123.partial"
    left.write_bytes(b"half")
    with shards.writing():
        assert not left.exists()
        with pytest.raises(ShardError, match="another process writes"):
            write()
    write()


def test_another_cut_replaces_the_shards(write: Write, shards: ShardFolder):
    write()
    many = len(files(shards))

    write(shard_bytes=10**6)

    assert len(files(shards)) == len(COUNTS) < many
    assert len(everything(shards, "rel-a")) == COUNTS["rel-a"]


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(bytes(content))


ALTERED = {
    "magic": lambda path: flip(path, 0),
    "salt": lambda path: flip(path, 12),
    "sample": lambda path: flip(path, 60),
    "index": lambda path: flip(path, -20),
    "length": lambda path: flip(path, -1),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "empty": lambda path: path.write_bytes(b""),
    "another release's": lambda path: path.write_bytes(
        next(p for p in path.parents[1].glob("*/000000.shard") if p.parent != path.parent).read_bytes()
    ),
    "another number's": lambda path: path.write_bytes(path.with_name("000001.shard").read_bytes()),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("case", ALTERED)
def test_an_altered_shard_is_refused_and_named(write: Write, shards: ShardFolder, case: str):
    write()
    ALTERED[case](of(shards, "rel-a") / "000000.shard")

    with pytest.raises(ShardError, match=r"000000\.shard of 'rel-a'"), shards.open("rel-a", 0) as shard:
        shard.read(0)

    if case != "sample":  # its index says that it is right; reading tells
        assert write().written == 1
        assert {s.name: s.content for s in everything(shards, "rel-a")} == CONTENTS["rel-a"]


def test_another_key_and_another_manifest_open_nothing(
    write: Write,
    shards: ShardFolder,
    client: GatewayClient,
    principal_key: OKPKey,
    manifest: TrainingManifest,
):
    write()
    other = freeze("other", client, list(COUNTS), key=principal_key, now=_now())
    for folder in (
        ShardFolder(shards.folder, manifest, OKPKey.generate_key("Ed25519")),
        ShardFolder(shards.folder, other, principal_key),
    ):
        with pytest.raises(ShardError, match="index does not open"):
            folder.open("rel-a", 0)
    with pytest.raises(KeyFileError, match="public key"):
        ShardFolder(shards.folder, manifest, OKPKey.import_key(dict(principal_key.as_dict(private=False))))


def test_a_refusal_while_writing_wipes_that_release_and_keeps_the_other(
    write: Write, shards: ShardFolder, two: Any
):
    write()
    flip(files(shards, f"{of(shards, 'rel-b').name}/*.shard")[0], 0)
    two.refused["rel-b"] = 403, "denied"

    with pytest.raises(ReleaseEndedError, match=r"'rel-b' may not be read any more.*wiped.*denied"):
        write()

    assert list(of(shards, "rel-b").iterdir()) == []
    assert len(everything(shards, "rel-a")) == COUNTS["rel-a"]
    with pytest.raises(ShardError, match="no salt"):
        shards.open("rel-b", 0)


def test_a_gate_that_is_busy_wipes_nothing(write: Write, shards: ShardFolder, two: Any):
    write(shard_bytes=10**6)
    two.refused["rel-b"] = 503, "ledger_unavailable"

    with pytest.raises(RefusedError, match="503"):
        write()

    assert shards.numbers("rel-b") == (0,)


def test_labels_that_are_not_the_manifests_or_of_another_size_are_refused(
    write: Write, client: GatewayClient, shards: ShardFolder, principal_key: OKPKey
):
    with pytest.raises(TrainingManifestError, match="labels"):
        write(labels=None)
    with pytest.raises(TrainingManifestError, match="labels"):
        write(labels=read_coco(coco(annotations=[])))
    name = next(iter(CONTENTS["rel-b"]))
    wrong = read_coco(coco(images=[{"id": 0, "file_name": name, "width": 24, "height": 16}], annotations=[]))
    manifest = freeze("w", client, list(COUNTS), key=principal_key, now=_now(), labels=wrong)
    with pytest.raises(LabelFileError, match=r"got \(24, 16\), expected \(12, 8\)"):
        write_shards(client, ShardFolder(shards.folder, manifest, principal_key), labels=wrong)
    with pytest.raises(ValueError, match="shard_bytes"):
        write(shard_bytes=0)


def test_the_gate_is_asked_again_once_the_answer_is_old(
    write: Write, client: GatewayClient, shards: ShardFolder, two: Any
):
    write()
    time = [0.0]
    lease = Lease(client, shards, every_s=60.0, clock=lambda: time[0])
    two.asked.clear()

    for time[0] in (0.0, 30.0, 59.0, 60.0, 100.0, 121.0):
        lease.hold("rel-a")
    lease.hold("rel-b")

    assert two.asked == ["rel-a", "rel-a", "rel-a", "rel-b"]


def test_a_lease_ends_by_refusal_by_expiry_and_by_silence(
    write: Write, client: GatewayClient, shards: ShardFolder, two: Any
):
    write()
    time = [0.0]
    lease = Lease(client, shards, every_s=60.0, clock=lambda: time[0])
    lease.hold("rel-a")
    two.refused["rel-a"] = 429, "rate_limited"
    time[0] = 61.0
    with pytest.raises(LeaseError, match="429"):
        lease.hold("rel-a")
    assert shards.numbers("rel-a")
    two.refused["rel-a"] = 403, "no_grant"
    with pytest.raises(ReleaseEndedError, match="no_grant"):
        lease.hold("rel-a")
    assert shards.numbers("rel-a") == ()
    assert shards.numbers("rel-b")
    late = Lease(client, shards, wall=shards.manifest.expires_at.timestamp)
    with pytest.raises(ManifestExpiredError):
        late.hold("rel-b")
    with pytest.raises(ValueError, match="every_s"):
        Lease(client, shards, every_s=0)


def test_cuts_are_full_and_in_order(manifest: TrainingManifest):
    samples = manifest.of_release("rel-a")
    parts = list(cut(samples, SHARD_BYTES))

    assert tuple(sample for part in parts for sample in part) == samples
    for part, following in itertools.pairwise(parts):
        assert sum(s.size for s in part) <= SHARD_BYTES < sum(s.size for s in part) + following[0].size
    assert [len(part) for part in cut(samples, 1)] == [1] * len(samples)


def test_torch_and_mlcroissant_are_not_loaded_for_writing():
    code = (
        "import sys, pipeline.training.shards, pipeline.commands;"
        "print({'torch', 'mlcroissant'} & set(sys.modules))"
    )

    out = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert out.stdout.strip() == "set()"


def _now() -> datetime:
    return datetime.now(tz=UTC)


def test_the_gate_knows_the_shards_and_what_they_were_made_of(
    write: Write, shards: ShardFolder, two: TwoReleases
):
    done = write(parents=("ab" * 32,))

    assert shards.artefact == done.artefact
    stated = two.artefacts[done.artefact]
    assert (stated["kind"], stated["digest"]) == ("data_set", shards.digest)
    assert stated["derived_from"]["releases"] == sorted(COUNTS)
    assert stated["derived_from"]["artefacts"] == ["ab" * 32]
    assert len(stated["derived_from"]["items"]) == len({s.sha256 for s in shards.manifest.samples})
    again = write(parents=("ab" * 32,))
    assert (again.written, again.artefact, len(two.artefacts)) == (0, done.artefact, 1)
    two.refused["rel-b"] = 403, "denied"
    with pytest.raises(RevokedArtefactError, match="rel-b"):
        write()


def test_shards_that_the_gate_does_not_know_are_not_read_and_registering_goes_on(
    write: Write,
    shards: ShardFolder,
    client: GatewayClient,
    monkeypatch: pytest.MonkeyPatch,
):
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.client.ARTEFACTS_PATH", "/downstream/v1/nowhere")
        with pytest.raises(UnregisteredError, match="train shards"):
            write()
    there = {path: path.stat().st_ino for path in files(shards)}
    assert len(there) > len(COUNTS)
    with pytest.raises(UnregisteredError):
        Lease(client, shards)
    done = write()
    assert (done.written, done.kept) == (0, len(there))
    assert {path: path.stat().st_ino for path in files(shards)} == there
    Lease(client, shards).hold("rel-a")
