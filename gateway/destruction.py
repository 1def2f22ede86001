"""The certificate of destruction: a signed statement that a key is gone, a recording's or another (law 9).

``audit.verify_destruction`` proves it offline.
"""

import base64
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from audit.checkpoint import verify_checkpoint
from audit.events import EventType, Outcome
from audit.leaf import Entry, format_time
from audit.query import EntryFilter, find_page
from gateway.errors import InvalidRequestError, NotFoundError
from gateway.flow.gate import Gate
from gateway.flow.records import RecordingRow, ReleaseRecordingRow
from gateway.flow.retention import Kind, subject_of
from gateway.vault.destroyed import Destruction
from gateway.vault.durable import storage, write_once
from gateway.vault.jws import sign_statement, thumbprint

DESTRUCTION_TYPE: Final = "fleetgate-destruction+json"
_VERSION: Final = 1
_MEANS: Final = (
    "tombstone written durably",
    "key file overwritten with random bytes and synced",
    "key file unlinked and its directory synced",
)
_TEXT: Final = {
    "zh": (
        "录制 {recording} 的密钥 {kek} 已于 {time} 销毁：原始数据、处理后数据、证据以及由其生成的发布副本"
        "（无论副本存于何处）均不可再解密。账本证明保留。"
        "本证明不涵盖销毁前已解密取走的内容，也不涵盖销毁前制作的密钥库备份；此类备份须另行销毁。"
    ),
    "en": (
        "Key {kek} of recording {recording} was destroyed at {time}: originals, treated files, evidence and"
        " released copies that were sealed under it, wherever they lie, cannot be decrypted any more. The ledger"
        " keeps its proofs. Not covered: content that was fetched in the clear before, and copies of the keystore"
        " made before, which are to be destroyed on their own."
    ),
}


_RECORD_VERSION: Final = 2
_RECORD_TEXT: Final = {
    "zh": (
        "{kind} {of} 的密钥 {kek} 保存期届满后已于 {time} 销毁：以其加密的记录（无论副本存于何处）均不可再解密。"
        "账本证明保留。本证明不涵盖销毁前已解密取走的内容，也不涵盖销毁前制作的密钥库备份；此类备份须另行销毁。"
    ),
    "en": (
        "Key {kek} of {kind} {of} was destroyed at {time}, after its term: records that were sealed under it,"
        " wherever they lie, cannot be decrypted any more. The ledger keeps its proofs. Not covered: content that"
        " was read in the clear before, and copies of the keystore made before, which are to be destroyed on their"
        " own."
    ),
}
INTAKE: Final = "intake"
_INTAKE_TEXT: Final = {
    "zh": (
        "接收密钥 {kek}（指纹 {fingerprint}）轮换宽限期届满后已于 {time} 销毁：车辆以其加密而尚未送达的数据"
        "（无论存于何处）均不可再解密。账本证明保留。本证明不涵盖销毁前制作的密钥库备份；此类备份须另行销毁。"
    ),
    "en": (
        "Intake key {kek} (fingerprint {fingerprint}) was destroyed at {time}, after the grace of its rotation:"
        " what vehicles sealed to it, wherever it lies, cannot be decrypted any more. The ledger keeps its proofs."
        " Not covered: copies of the keystore made before, which are to be destroyed on their own."
    ),
}
_KINDS: Final = {
    "zh": {Kind.RELEASE: "发布", Kind.DETAIL: "账本明细主体"},
    "en": {Kind.RELEASE: "release", Kind.DETAIL: "the subject of ledger detail"},
}


def certificate_path(gate: Gate, name: str) -> Path:
    """Where the certificate of a recording, or of a key by its id, is kept."""
    return gate.settings.home / "destructions" / f"{name}.jws"


def certify_destruction(gate: Gate, recording: str) -> str:
    """The certificate of an erased recording, issued at the first call and kept.

    1. The recording is erased, and its key is gone.
    2. The ledger's entry of the first erasure that was completed names the key's fingerprint.
    3. Entry, checkpoint and the proof that one is in the other are signed with the release key.

    Returns:
        Compact JWS of kind ``fleetgate-destruction+json``.

    Raises:
        NotFoundError: There is no such recording.
        InvalidRequestError: It is not erased.
        KeyUnavailableError: There is no record of the key's destruction.
        StorageError: The certificate could not be kept.
    """
    with gate.database.read() as session:
        row = session.get(RecordingRow, recording)
        drawing = sa.select(ReleaseRecordingRow.release_id).where(
            ReleaseRecordingRow.recording_id == recording
        )
        releases = sorted(session.scalars(drawing))
    if row is None:
        raise NotFoundError(f"no such recording (got {recording!r})")
    if row.erased_at is None or not gate.keystore.is_destroyed(row.kek_id):  # 1
        raise InvalidRequestError(f"recording {recording!r} is not erased (got state {row.state})")
    path = certificate_path(gate, recording)
    if path.exists():
        return _kept(path)
    destruction = gate.keystore.destruction(row.kek_id)
    entry = _completion(gate, recording)  # 2
    if entry.event.digests.get("fingerprint") != destruction.fingerprint:
        raise InvalidRequestError(
            f"key of entry {entry.index} (got {entry.event.digests.get('fingerprint')},"
            f" expected {destruction.fingerprint} as the record of destruction says)"
        )
    time = format_time(destruction.time)
    payload = {
        "recording": recording,
        "releases": releases,
        "text": {
            language: text.format(recording=recording, kek=row.kek_id, time=time)
            for language, text in _TEXT.items()
        },
        "version": _VERSION,
    }
    return _issued(gate, path, destruction, entry, payload)  # 3


def certify_record_key(gate: Gate, kek_id: str) -> str:
    """The certificate of a destroyed key of a release or of ledger detail, issued at the first call and kept.

    As :func:`certify_destruction`, which is for recordings.

    Raises:
        KeyUnavailableError: The key was not destroyed.
        InvalidRequestError: It is another key, or the ledger holds no completed destruction of it.
        StorageError: The certificate could not be kept.
    """
    kind, of = subject_of(kek_id)
    destruction = gate.keystore.destruction(kek_id)
    time = format_time(destruction.time)
    text = {
        language: text.format(kind=_KINDS[language][kind], of=of, kek=kek_id, time=time)
        for language, text in _RECORD_TEXT.items()
    }
    return _certified(gate, destruction, kind=kind.value, of=of, text=text)


def certify_intake_key(gate: Gate, destruction: Destruction, generation: int) -> str:
    """The certificate of an intake key that was destroyed after its grace; as :func:`certify_record_key`."""
    kek_id, time = intake_key_id(generation), format_time(destruction.time)
    named = replace(destruction, kek_id=kek_id)
    text = {
        language: text.format(kek=kek_id, fingerprint=named.fingerprint, time=time)
        for language, text in _INTAKE_TEXT.items()
    }
    return _certified(gate, named, kind=INTAKE, of=str(generation), text=text)


def intake_key_id(generation: int) -> str:
    """How ledger and certificates name an intake key."""
    return f"{INTAKE}-{generation}"


def _certified(gate: Gate, destruction: Destruction, *, kind: str, of: str, text: Mapping[str, str]) -> str:
    path = certificate_path(gate, destruction.kek_id)
    if path.exists():
        return _kept(path)
    wanted = EntryFilter(
        object=destruction.kek_id, types=(EventType.VAULT_KEY_DESTROY,), outcome=Outcome.COMPLETED
    )
    with gate.ledger.snapshot() as snapshot:
        entries = find_page(snapshot, wanted, limit=1, newest_first=False).entries
    if not entries or entries[0].event.digests.get("fingerprint") != destruction.fingerprint:
        raise InvalidRequestError(
            f"the ledger holds no completed destruction of {destruction.kek_id!r}"
            " (destroy it again: a crash came between)"
        )
    payload = {"of": {"id": of, "kind": kind}, "text": dict(text), "version": _RECORD_VERSION}
    return _issued(gate, path, destruction, entries[0], payload)


def _issued(gate: Gate, path: Path, destruction: Destruction, entry: Entry, says: Mapping[str, Any]) -> str:
    key = gate.keystore.statement_key("release")
    payload = {
        **says,
        "actor": entry.event.actor,
        "destroyed": list(_MEANS),
        "issued_at": format_time(gate.clock()),
        "kek": {
            "fingerprint": destruction.fingerprint,
            "id": destruction.kek_id,
            "time": format_time(destruction.time),
        },
        "ledger": _proved(gate, entry),
    }
    statement = sign_statement(key, DESTRUCTION_TYPE, thumbprint(key), payload)
    with storage("create directory", path.parent.name):
        path.parent.mkdir(mode=0o700, exist_ok=True)
    try:
        write_once(path, statement.encode("ascii"))
    except FileExistsError:
        return _kept(path)
    return statement


def _completion(gate: Gate, recording: str) -> Entry:
    wanted = EntryFilter(
        recording=recording, types=(EventType.ERASE_RECORDING_ERASE,), outcome=Outcome.COMPLETED
    )
    with gate.ledger.snapshot() as snapshot:
        entries = find_page(snapshot, wanted, limit=1, newest_first=False).entries
    if not entries:
        raise InvalidRequestError(
            f"the ledger holds no completed erasure of {recording!r} (erase it again: a crash came between)"
        )
    return entries[0]


def _proved(gate: Gate, entry: Entry) -> dict[str, Any]:
    note = gate.checkpoint()
    checkpoint = verify_checkpoint(note, gate.ledger.signer.vkey)
    proof = gate.ledger.inclusion_proof(entry.index, checkpoint.size)
    return {
        "checkpoint": note,
        "inclusion": [base64.b64encode(each).decode() for each in proof],
        "index": entry.index,
        "key": gate.ledger.signer.vkey,
        "leaf": base64.b64encode(entry.leaf).decode(),
    }


def _kept(path: Path) -> str:
    with storage("read file", path.name):
        return path.read_text(encoding="ascii")
