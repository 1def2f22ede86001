"""Sealed files against AES-GCM of `cryptography` on one buffer, in one run on one machine.

    python benchmarks/sealed_files.py [--mib 64] [--rounds 5] [--json]

The rounds interleave all measures, so that a busy machine slows each alike; figures are medians, ratios are
medians of each round's ratio. The one
buffer is encrypted and decrypted into memory that is reused, which is the faster way: a fresh buffer of this
length costs page faults, shown beside it. Beside the container proper stand the digests that sealing takes on
top (SHA-256 of content and of sealed file) and the whole way through the vault to a disk and back.
"""

import argparse
import hashlib
import json
import os
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.vault.blobs import LocalBlobs
from gateway.vault.keys import Keystore
from gateway.vault.sealed import SealedReader, seal_stream, sealed_pieces
from gateway.vault.store import Context, Vault

CHUNK = 1024 * 1024
RANGE = 64 * 1024
RANGES_PER_ROUND = 400
CONTEXT = Context(owner="benchmark", object="buffer", role="original")


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def chunks_of(buffer: bytes) -> Iterator[memoryview]:
    view = memoryview(buffer)
    for offset in range(0, len(buffer), CHUNK):
        yield view[offset : offset + CHUNK]


class Subject:
    """One buffer, sealed in every way that is compared."""

    def __init__(self, folder: Path, length: int) -> None:
        self.buffer = os.urandom(length)
        self.dek, self.bound = os.urandom(32), CONTEXT.canonical()
        self.cipher = AESGCM(self.dek)
        self.one = self.cipher.encrypt(bytes(12), self.buffer, None)
        self.warm = bytearray(length + 16)
        self.sealed = b"".join(sealed_pieces(chunks_of(self.buffer), dek=self.dek, context=self.bound))
        keystore = Keystore.create(folder / "keystore", secrets.token_hex(16))
        keystore.ensure_kek("benchmark")
        self.vault = Vault(LocalBlobs(folder / "blobs"), keystore)
        self.stored = self.vault.seal(chunks_of(self.buffer), kek_id="benchmark", context=CONTEXT)
        self.reader = self.vault.open(self.stored.manifest_jws, CONTEXT)

    def one_buffer_encrypt(self) -> None:
        self.cipher.encrypt(bytes(12), self.buffer, None)

    def one_buffer_decrypt(self) -> None:
        self.cipher.decrypt(bytes(12), self.one, None)

    def reused_buffer_encrypt(self) -> None:
        self.cipher.encrypt_into(bytes(12), self.buffer, None, self.warm)

    def reused_buffer_decrypt(self) -> None:
        self.cipher.decrypt_into(bytes(12), self.one, None, memoryview(self.warm)[: len(self.buffer)])

    def container_write(self) -> None:
        for _ in sealed_pieces(chunks_of(self.buffer), dek=self.dek, context=self.bound):
            pass

    def container_read(self) -> None:
        reader = SealedReader(
            lambda offset, length: self.sealed[offset : offset + length],
            sealed_length=len(self.sealed),
            dek=self.dek,
            context=self.bound,
            expected_plaintext_length=len(self.buffer),
        )
        for _ in reader.chunks():
            pass

    def write_with_digests(self) -> None:
        seal_stream(chunks_of(self.buffer), dek=self.dek, context=self.bound, write=len)

    def two_digests(self) -> None:
        hashlib.sha256(self.buffer).digest()
        hashlib.sha256(self.sealed).digest()

    def vault_write(self) -> None:
        sealed = self.vault.seal(chunks_of(self.buffer), kek_id="benchmark", context=CONTEXT)
        self.vault.delete(sealed.blob_id)

    def vault_read(self) -> None:
        for _ in self.vault.open(self.stored.manifest_jws, CONTEXT).chunks():
            pass

    def ranges(self, *, aligned: bool) -> list[float]:
        taken = []
        for _ in range(RANGES_PER_ROUND):
            start = secrets.randbelow(len(self.buffer) - RANGE)
            if aligned:
                start -= start % RANGE
            taken.append(timed(lambda start=start: self.reader.read(start, start + RANGE)) * 1e6)
        return taken


def measure(folder: Path, length: int, rounds: int) -> dict[str, float]:
    subject = Subject(folder, length)
    streams: dict[str, Callable[[], None]] = {
        "one buffer, encrypt": subject.reused_buffer_encrypt,
        "container, write": subject.container_write,
        "one buffer, decrypt": subject.reused_buffer_decrypt,
        "container, read": subject.container_read,
        "one fresh buffer, encrypt": subject.one_buffer_encrypt,
        "one fresh buffer, decrypt": subject.one_buffer_decrypt,
        "two SHA-256 digests alone": subject.two_digests,
        "container and digests, write": subject.write_with_digests,
        "vault to disk, durable, write": subject.vault_write,
        "vault from disk, read": subject.vault_read,
    }
    taken: dict[str, list[float]] = {name: [] for name in streams}
    aligned: list[float] = []
    unaligned: list[float] = []
    for _ in range(rounds):
        for name, work in streams.items():
            taken[name].append(length / 1e6 / timed(work))
        aligned += subject.ranges(aligned=True)
        unaligned += subject.ranges(aligned=False)
    figures = {f"{name} MB/s": statistics.median(values) for name, values in taken.items()}
    for direction, against in (("write", "encrypt"), ("read", "decrypt")):
        pairs = zip(taken[f"container, {direction}"], taken[f"one buffer, {against}"], strict=True)
        figures[f"container / one buffer, {direction}"] = statistics.median(ours / one for ours, one in pairs)
    for name, values in (("aligned", aligned), ("unaligned", unaligned)):
        figures[f"64 KiB range from disk, {name} p50 us"] = statistics.median(values)
        figures[f"64 KiB range from disk, {name} p99 us"] = statistics.quantiles(values, n=100)[98]
    return figures


def judged(figures: dict[str, float]) -> list[dict[str, object]]:
    """The rows of DESIGN.md §5 with what was reached."""
    write, read = figures["container / one buffer, write"], figures["container / one buffer, read"]
    in_range = figures["64 KiB range from disk, aligned p50 us"]
    return [
        {"row": "sealed write / one buffer", "value": write, "target": 0.60, "reached": write >= 0.60},
        {"row": "sealed read / one buffer", "value": read, "target": 0.70, "reached": read >= 0.70},
        {"row": "64 KiB range, us", "value": in_range, "target": 50.0, "reached": in_range <= 50.0},
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mib", type=int, default=64, help="length of the buffer in MiB")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds; figures are medians")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), arguments.mib * 1024 * 1024, arguments.rounds)
    rows = judged(figures)
    if arguments.json:
        print(json.dumps({"benchmark": "sealed_files", "figures": figures, "rows": rows}))
        return 0
    for name, value in figures.items():
        print(f"{name:48} {value:10.2f}")
    for row in rows:
        print(f"{row['row']:48} {row['value']:10.2f}  target {row['target']}  reached {row['reached']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
