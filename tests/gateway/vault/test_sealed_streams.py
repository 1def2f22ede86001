"""Files larger than the memory that there is, and many readers at once, in threads and in processes."""

import random
import subprocess
import sys
from pathlib import Path

from gateway.vault.store import Context, Vault
from gateway.vault.suites import Suite

PASSPHRASE = "correct horse 电池"
MIB = 1024 * 1024

WITHIN_LIMITS = """
import hashlib, os, random, resource, sys
from pathlib import Path
from gateway.vault.blobs import LocalBlobs
from gateway.vault.keys import Keystore
from gateway.vault.root import INSECURE_TEST_ARGON2
from gateway.vault.seekable import SealedFile
from gateway.vault.store import Context, Vault
from gateway.vault.suites import suite_by_name

MIB = 1024 * 1024
home, suite, length, room = Path(sys.argv[1]), suite_by_name(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
keystore = Keystore.create(home / "keystore", "passphrase", argon2=INSECURE_TEST_ARGON2, suite=suite)
keystore.ensure_kek("rec-1")
vault = Vault(LocalBlobs(home / "blobs"), keystore)
context = Context(owner="rec-1", object="item-1", role="original")
warm = vault.seal([b"warm"], kek_id="rec-1", context=context)
assert vault.read_all(warm.manifest_jws, context) == b"warm"

in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (in_use + room, in_use + room))
try:
    bytearray(length)
except MemoryError:
    print("limited")

choice = random.Random(1)
block = choice.randbytes(MIB)
marks = [number.to_bytes(4, "big") for number in range(length // MIB)]

def source():
    for mark in marks:
        yield mark + block[4:]

sealed = vault.seal(source(), kek_id="rec-1", context=context)
assert sealed.plaintext_length == length
assert (home / "blobs" / f"{sealed.blob_id}.sealed").stat().st_size > length
print("written")
digest = hashlib.sha256()
for chunk in vault.open(sealed.manifest_jws, context).chunks():
    digest.update(chunk)
assert digest.hexdigest() == sealed.plaintext_sha256
print("read")
vault.scrub(sealed.manifest_jws)
print("scrubbed")
file = SealedFile(vault.open(sealed.manifest_jws, context))
for _ in range(60):
    number = choice.randrange(len(marks))
    file.seek(number * MIB)
    assert file.read(2000) == marks[number] + block[4:2000]
print("sought")
"""


def test_a_file_of_four_times_the_memory_is_sealed_read_scrubbed_and_sought(home: Path, suite: Suite) -> None:
    """A process that may not take 32 MiB more than it has when it starts works through 128 MiB."""
    command = [sys.executable, "-c", WITHIN_LIMITS, str(home), suite.name, str(128 * MIB), str(32 * MIB)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)  # noqa: S603 (our own script)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["limited", "written", "read", "scrubbed", "sought"]


READER = """
import random, sys, threading
from pathlib import Path
from gateway.vault.blobs import LocalBlobs
from gateway.vault.keys import Keystore
from gateway.vault.store import Context, Vault

home, passphrase, length, manifests = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4:]
keystore = Keystore.open(home / "keystore", passphrase, allow_insecure_test_cost=True)
vault = Vault(LocalBlobs(home / "blobs"), keystore)
contents = [random.Random(number).randbytes(length) for number in range(len(manifests))]
contexts = [Context(owner="rec-1", object=f"item-{n}", role="original") for n in range(len(manifests))]
readers = [vault.open(*each) for each in zip(manifests, contexts, strict=True)]
right, lock = 0, threading.Lock()

def work(seed):
    global right
    choice, mine = random.Random(seed), 0
    for turn in range(60):
        number = choice.randrange(len(readers))
        # Every other time through the shared reader, else through one of its own.
        reader = readers[number] if turn % 2 else vault.open(manifests[number], contexts[number])
        start = choice.randrange(length)
        end = min(length, start + choice.randrange(200_000))
        mine += reader.read(start, end) == contents[number][start:end]
    with lock:
        right += mine

threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(right)
"""


def test_processes_and_threads_read_while_others_are_written(vault: Vault, home: Path) -> None:
    length = 700_001
    manifests = [
        vault.seal(
            [random.Random(number).randbytes(length)],  # noqa: S311 (content, no secret)
            kek_id="rec-1",
            context=Context(owner="rec-1", object=f"item-{number}", role="original"),
        ).manifest_jws
        for number in range(3)
    ]
    command = [sys.executable, "-c", READER, str(home), PASSPHRASE, str(length), *manifests]
    readers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]  # noqa: S603 (our own script)
    written = 0
    while any(reader.poll() is None for reader in readers):
        context = Context(owner="rec-1", object=f"more-{written}", role="original")
        sealed = vault.seal([bytes(200_000)], kek_id="rec-1", context=context)
        vault.delete(sealed.blob_id)
        written += 1
    outputs = [reader.communicate()[0].strip() for reader in readers]
    assert outputs == ["240"] * 3
    assert written > 0
