"""Blobs in a bucket: complete under their name or absent, and acknowledged only once the store said so (law 4)."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from gateway.app import open_blobs
from gateway.errors import ConfigurationError
from gateway.settings import Settings
from gateway.vault.blobs import LocalBlobs
from gateway.vault.errors import BlobExistsError, BlobMissingError, SealBrokenError, StorageError
from gateway.vault.keys import Keystore
from gateway.vault.s3 import S3Blobs
from gateway.vault.s3_place import S3Place, credentials_of, place_of
from gateway.vault.store import Context, Vault
from s3_service import (
    BUCKET,
    CREDENTIALS,
    Environ,
    S3Service,
    answering,
    changing,
    losing_answers,
    s3_service,
    silent,
)

ID = "00ff" * 8
OTHER = "ab" * 8
MARKER = "gate/write-once"
TESTS = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def running() -> Iterator[S3Service]:
    with s3_service() as service:
        yield service


@pytest.fixture
def service(running: S3Service) -> S3Service:
    """The service with an empty bucket."""
    running.call("POST", "/moto-api/reset", b"")
    running.call("PUT", f"/{BUCKET}")
    running.requests.clear()
    return running


@pytest.fixture
def bucket(service: S3Service) -> S3Blobs:
    return service.blobs()


def put(blobs: S3Blobs, content: bytes, manifest: bytes | None = None, blob_id: str = ID) -> None:
    with blobs.create(blob_id) as writer:
        writer.write(content)
        writer.manifest = manifest


def is_put(environ: Environ) -> bool:
    return bool(environ["REQUEST_METHOD"] == "PUT")


def puts_of(name: str, count: int = -1):
    """Whether a request creates an object whose key ends so; only the first ``count`` of them."""
    left = [count]

    def meets(environ: Environ) -> bool:
        if not is_put(environ) or not environ["PATH_INFO"].endswith(name) or not left[0]:
            return False
        left[0] -= 1
        return True

    return meets


def test_the_parts_the_manifest_and_last_the_index_are_created_and_nothing_is_replaced(
    bucket: S3Blobs, service: S3Service
):
    content = os.urandom(2500)
    service.requests.clear()
    put(bucket, content, b"signed")
    made = [each.rpartition("/")[2] for each in service.requests if each.startswith("PUT")]
    assert made == ["part.00000000", "part.00000001", "part.00000002", "manifest", "sealed"]
    assert bucket.read_at(ID, 0, 2500) == content
    assert bucket.read_at(ID, 990, 1020) == content[990:2010]
    assert bucket.length(ID) == 2500


def test_a_second_creation_is_refused_by_the_store_itself(bucket: S3Blobs, service: S3Service):
    put(bucket, b"first", b"manifest")
    for key in ("part.00000000", "manifest", "sealed"):
        before = service.get(f"gate/{ID}/{key}")
        with pytest.raises(BlobExistsError):
            bucket.create_object(f"{ID}/{key}", b"second")
        assert service.get(f"gate/{ID}/{key}") == before


def test_a_store_that_replaces_what_it_should_create_is_not_used(service: S3Service):
    with (
        service.troubled(changing("HTTP_IF_NONE_MATCH", None)),
        pytest.raises(StorageError, match="If-None-Match"),
    ):
        service.blobs()


@pytest.mark.parametrize("name", ["part.00000001", "manifest", "sealed"])
@pytest.mark.parametrize("status", ["500 Internal Server Error", "503 Slow Down", "403 Forbidden"])
def test_a_store_that_refuses_a_request_leaves_nothing_of_the_blob(
    bucket: S3Blobs, service: S3Service, name: str, status: str
):
    with service.troubled(answering(status), puts_of(name)), pytest.raises(StorageError, match=status[:3]):
        put(bucket, b"x" * 2500, b"manifest")
    assert not bucket.exists(ID)
    assert service.keys() == [MARKER]


def test_a_store_that_is_busy_for_a_moment_is_asked_again(bucket: S3Blobs, service: S3Service):
    with service.troubled(answering("503 Slow Down"), puts_of("part.00000001", 2)):
        put(bucket, b"x" * 2500, b"manifest")
    assert bucket.read_at(ID, 0, 3000) == b"x" * 2500


@pytest.mark.parametrize("name", ["part.00000001", "manifest", "sealed"])
def test_a_lost_answer_is_no_other_writer(bucket: S3Blobs, service: S3Service, name: str):
    """The repetition meets what the first attempt stored; the bytes tell that it is the same."""
    content = os.urandom(2500)
    with service.troubled(losing_answers(1), puts_of(name)):
        put(bucket, content, b"manifest")
    assert bucket.read_at(ID, 0, 3000) == content


def test_an_index_whose_every_answer_is_lost_is_not_acknowledged_and_not_kept(
    bucket: S3Blobs, service: S3Service
):
    with (
        service.troubled(losing_answers(99), puts_of("sealed")),
        pytest.raises((StorageError, BlobExistsError)),
    ):
        put(bucket, b"x" * 2500, b"manifest")
    assert not bucket.exists(ID)
    assert service.keys() == [MARKER]


def test_a_store_that_does_not_answer_is_given_up(service: S3Service):
    blobs = service.blobs(timeout_s=1.0)
    with service.troubled(silent(2.5), puts_of("sealed")), pytest.raises(StorageError, match="write object"):
        put(blobs, b"x" * 2500)
    assert not service.blobs().exists(ID)


def test_reads_of_a_failing_store_are_storage_errors(bucket: S3Blobs, service: S3Service):
    put(bucket, b"x" * 2500, b"manifest")
    acts = (
        lambda: bucket.read_at(ID, 0, 10),
        lambda: bucket.length(ID),
        lambda: bucket.manifest(ID),
        lambda: bucket.exists(ID),
        bucket.ids,
        lambda: bucket.delete(ID),
        lambda: bucket.sweep_temporary(timedelta(0)),
    )
    for act in acts:
        with service.troubled(answering("500 Internal Server Error")), pytest.raises(StorageError):
            act()
    assert bucket.read_at(ID, 0, 10) == b"x" * 10


def test_a_short_answer_is_an_error_and_not_the_end(bucket: S3Blobs, service: S3Service):
    put(bucket, b"x" * 900)
    service.store().put(f"gate/{ID}/part.00000000", b"x" * 500)
    with pytest.raises(StorageError, match="short answer"):
        bucket.read_at(ID, 400, 200)
    assert bucket.length(ID) == 500


def test_a_part_that_is_gone_is_a_missing_blob(bucket: S3Blobs, service: S3Service):
    put(bucket, b"x" * 2500)
    assert bucket.read_at(ID, 0, 1)
    service.store().delete(f"gate/{ID}/part.00000001")
    with pytest.raises(BlobMissingError):
        bucket.read_at(ID, 1000, 10)
    assert bucket.length(ID) == 1500


@pytest.mark.parametrize(
    "document", [b"", b"[]", b"{}", b'{"length": -1, "part": 5}', b'{"length": 1, "part": 0}']
)
def test_a_malformed_index_is_named(bucket: S3Blobs, service: S3Service, document: bytes):
    service.store().put(f"gate/{ID}/sealed", document)
    with pytest.raises(StorageError, match=f"'{ID}'.*malformed"):
        bucket.read_at(ID, 0, 1)


def test_a_bucket_that_is_gone_is_no_missing_blob(bucket: S3Blobs, service: S3Service):
    put(bucket, b"x", b"manifest")
    service.call("POST", "/moto-api/reset", b"")
    for act in (bucket.length, bucket.manifest, bucket.delete, lambda name: bucket.read_at(name, 0, 1)):
        with pytest.raises(StorageError):
            act(ID)
    with pytest.raises(StorageError, match="open bucket"):
        service.blobs()


def test_another_bucket_in_the_place_of_the_gates_is_no_missing_blob(bucket: S3Blobs, service: S3Service):
    put(bucket, b"x", b"manifest")
    service.call("POST", "/moto-api/reset", b"")
    service.call("PUT", f"/{BUCKET}")
    for act in (bucket.length, bucket.manifest, bucket.delete, lambda name: bucket.read_at(name, 0, 1)):
        with pytest.raises(StorageError, match="open bucket"):
            act(ID)


def test_credentials_that_the_service_does_not_know_are_refused(service: S3Service):
    service.call("POST", "/moto-api/reset-auth", b"0")
    try:
        with pytest.raises(StorageError, match="open bucket") as refused:
            service.blobs()
    finally:
        service.call("POST", "/moto-api/reset-auth", b"inf")
    assert CREDENTIALS["secret_access_key"] not in str(refused.value)


def test_a_service_that_is_not_there_is_a_storage_error():
    place = S3Place(bucket=BUCKET, prefix="", endpoint="http://127.0.0.1:9", timeout_s=1.0)
    with pytest.raises(StorageError, match="open bucket"):
        S3Blobs(place, CREDENTIALS)


def certified(place: Path) -> tuple[bytes, tuple[str, str]]:
    """An authority of our own, and files with a certificate of it for loopback and its key."""
    now = datetime.now(UTC)
    authority, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) for name in ("test CA", "store")]

    def certificate(subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, ca: bool) -> bytes:
        made = (
            x509.CertificateBuilder()
            .issuer_name(names[0])
            .subject_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
            )
        )
        return made.sign(authority, hashes.SHA256()).public_bytes(Encoding.PEM)

    chain, key = place / "store.pem", place / "store.key"
    chain.write_bytes(certificate(names[1], own, ca=False))
    key.write_bytes(own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate(names[0], authority, ca=True), (str(chain), str(key))


def test_a_store_behind_a_private_authority_is_trusted_only_where_that_is_given(
    service: S3Service, tmp_path: Path
):
    authority, files = certified(tmp_path)
    application = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, application, threaded=True, ssl_context=files)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        place = replace(service.place(timeout_s=5.0), endpoint=f"https://127.0.0.1:{server.server_port}")
        with pytest.raises(StorageError, match="open bucket"):
            S3Blobs(place, CREDENTIALS)
        blobs = S3Blobs(replace(place, ca_pem=authority), CREDENTIALS)
        put(blobs, b"content")
        assert blobs.read_at(ID, 0, 9) == b"content"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def killed(service: S3Service, length: int) -> None:
    script = (
        "import os, sys\n"
        "from s3_service import S3Service\n"
        f"with S3Service(sys.argv[1]).blobs().create('{ID}') as writer:\n"
        f"    writer.write(b'x' * {length})\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(  # noqa: S603 (our own script)
        [sys.executable, "-c", script, service.url], check=False, env={**os.environ, "PYTHONPATH": str(TESTS)}
    )
    assert done.returncode == -9


def test_a_killed_upload_is_not_visible_and_is_swept(bucket: S3Blobs, service: S3Service):
    killed(service, 2500)
    assert service.keys() == [f"gate/{ID}/part.0000000{n}" for n in (0, 1)] + [MARKER]
    assert not bucket.exists(ID)
    assert bucket.ids() == frozenset()
    with pytest.raises(BlobMissingError):
        bucket.length(ID)
    put(bucket, b"kept", b"manifest", OTHER)
    assert bucket.sweep_temporary(timedelta(hours=1)) == ()
    assert bucket.sweep_temporary(timedelta(0)) == (f"{ID}/part.00000000", f"{ID}/part.00000001")
    assert bucket.read_at(OTHER, 0, 9) == b"kept"
    assert not bucket.exists(ID)
    assert bucket.ids() == {ID, OTHER}
    bucket.delete(ID)
    assert bucket.ids() == {OTHER}


def test_a_writer_that_was_swept_while_it_stalled_is_refused(bucket: S3Blobs, service: S3Service):
    def stalled() -> None:
        with bucket.create(ID) as writer:
            writer.write(b"x" * 2500)
            assert len(service.blobs().sweep_temporary(timedelta(0))) == 2

    with pytest.raises(BlobExistsError):
        stalled()
    assert not bucket.exists(ID)


def test_of_two_writers_of_large_blobs_one_is_whole(bucket: S3Blobs):
    contents = [bytes([i]) * 5_000 for i in range(4)]
    outcomes: list[bytes | None] = []

    def write(content: bytes) -> None:
        try:
            put(bucket, content)
        except BlobExistsError:
            outcomes.append(None)
        else:
            outcomes.append(content)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [content for content in outcomes if content] == [bucket.read_at(ID, 0, 10_000)]


def test_an_error_that_cannot_be_tidied_up_after_says_so(bucket: S3Blobs, service: S3Service):
    def broken() -> None:
        with bucket.create(ID) as writer:
            writer.write(b"x" * 2500)
            service.trouble = answering("403 Forbidden")
            raise ConnectionResetError

    try:
        with pytest.raises(ConnectionResetError) as met:
            broken()
    finally:
        service.trouble = None
    assert "parts are left to be swept" in met.value.__notes__[0]
    assert len(bucket.sweep_temporary(timedelta(0))) == 2


def test_a_blob_of_many_times_the_part_passes_with_one_part_in_memory(service: S3Service):
    blobs = service.blobs(part_bytes=64 * 1024)
    with blobs.create(ID) as writer:
        for _ in range(64):
            writer.write(b"y" * 40_000)
            assert len(writer._pending) <= 64 * 1024
    assert blobs.length(ID) == 2_560_000


def test_blobs_of_another_size_of_parts_stay_readable(service: S3Service):
    content = os.urandom(5000)
    put(service.blobs(part_bytes=700), content)
    assert service.blobs(part_bytes=4096).read_at(ID, 650, 4000) == content[650:4650]


def test_the_vault_opens_scrubs_and_counts_what_lies_in_a_bucket(
    service: S3Service, keystore: Keystore, context: Context
):
    keystore.ensure_kek("rec-1")
    vault, content = Vault(service.blobs(part_bytes=30_000), keystore), os.urandom(200_000)
    sealed = vault.seal([content], kek_id="rec-1", context=context)
    assert vault.read_all(sealed.manifest_jws, context) == content
    assert vault.scrub(sealed.manifest_jws).blob_id == sealed.blob_id
    assert vault.manifest(sealed.blob_id) == sealed.manifest_jws
    assert vault.orphans(()) == {sealed.blob_id}
    stored = [f"gate/{sealed.blob_id}/part.{n:08d}" for n in range(7)]
    assert content[:24] not in b"".join(service.get(key) for key in stored)
    changed = bytearray(service.get(stored[3]))
    changed[500] ^= 1
    service.store().put(stored[3], bytes(changed))
    with pytest.raises(SealBrokenError):
        vault.read_all(sealed.manifest_jws, context)
    with pytest.raises(SealBrokenError):
        vault.scrub(sealed.manifest_jws)


def test_the_settings_choose_the_store(service: S3Service, home: Path, monkeypatch: pytest.MonkeyPatch):
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(f"AWS_{name.upper()}", value)
    local = open_blobs(Settings(home=home / "a b"))
    assert isinstance(local, LocalBlobs)
    assert (home / "a b" / "objects").is_dir()
    elsewhere = open_blobs(Settings(home=home, objects_url=(home / "else where").as_uri()))
    assert repr(elsewhere) == "<LocalBlobs else where>"
    in_s3 = open_blobs(Settings(home=home, objects_url=f"s3://{BUCKET}/a/b/", objects_endpoint=service.url))
    assert repr(in_s3) == f"<S3Blobs {BUCKET}/a/b>"
    assert service.keys() == ["a/b/write-once"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"objects_url": "ftp://bucket/prefix"}, "ftp://bucket/prefix"),
        ({"objects_url": "s3:///prefix"}, "s3:///prefix"),
        ({"objects_url": "s3://user:word@bucket"}, "expected s3://bucket/prefix"),
        ({"objects_url": "file://host/path"}, "file://host/path"),
        ({"objects_url": "s3://bucket", "objects_ca_file": "/nowhere/ca.pem"}, "/nowhere/ca.pem"),
    ],
)
def test_a_setting_that_names_no_store_is_refused(home: Path, change: dict[str, str], named: str):
    with pytest.raises(ConfigurationError, match=re.escape(named)):
        open_blobs(Settings(home=home, **change))


def test_without_the_extra_the_setting_says_what_to_install(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "gateway.vault.s3")
    monkeypatch.setitem(sys.modules, "obstore.exceptions", None)
    with pytest.raises(ConfigurationError, match=re.escape("fleetgate[s3]")):
        open_blobs(Settings(home=home, objects_url="s3://bucket"))


def test_credentials_come_from_the_environment_else_from_the_file_that_it_names(tmp_path: Path):
    file = tmp_path / "credentials"
    file.write_text(
        "[default]\naws_access_key_id = A\naws_secret_access_key = %S\n[half]\naws_access_key_id = A\n"
    )
    named = {"AWS_SHARED_CREDENTIALS_FILE": str(file)}
    own = {"AWS_ACCESS_KEY_ID": "I", "AWS_SECRET_ACCESS_KEY": "S", "AWS_SESSION_TOKEN": "T"}
    assert credentials_of({}) == {}
    assert credentials_of(named) == {"access_key_id": "A", "secret_access_key": "%S"}
    expected = {"access_key_id": "I", "secret_access_key": "S", "session_token": "T"}
    assert credentials_of({**named, **own}) == expected
    for bad in (
        {"AWS_ACCESS_KEY_ID": "I"},
        {**named, "AWS_PROFILE": "half"},
        {**named, "AWS_PROFILE": "none"},
    ):
        with pytest.raises(ValueError, match="expected"):
            credentials_of(bad)


def test_a_url_names_bucket_and_prefix():
    assert place_of("s3://bucket") == S3Place(bucket="bucket", prefix="")
    assert place_of("s3://bucket/a/b/", region="cn-north-1").prefix == "a/b"
