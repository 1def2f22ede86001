"""A regulator's bundle: one archive with entries, proofs, checkpoint, keys, verifiers, readmes in zh and en."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from audit import verify, verify_destruction, verify_rendering, verify_sm2
from audit.checkpoint import verify_checkpoint
from audit.export import export_ledger
from audit.ledger import Ledger
from audit.query import EntryFilter

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""Every member's time: an archive of the same entries under the same checkpoint is the same bytes."""

_README_EN = """\
Fleetgate: evidence of the ledger {origin}
==========================================

entries.jsonl   {count} entries, each with its inclusion proof, and a signed footer
checkpoint      size ({size} entries) and root of the ledger's tree, signed{cosigned}
keys.txt        the keys that signed
verify.py       the verifier; needs Python 3.11 and the package `cryptography`, nothing of Fleetgate
{extra}
{scope}

Verify:

    {command}

It prints OK, or the first bad entry and why. Exit status 0: verified, 1: not.

IMPORTANT: take the verifier key not from this archive but from where the operator published it, and compare:

    {vkey}

An entry is a JSON object (RFC 8785). `time` is UTC; `type` tells the act; `outcome` is `intent` before an act and
`completed`, `refused` or `failed` after it; names are pseudonymous ids; `digests` are SHA-256 or HMAC values of
what the act rests on. Personal details aren't in it: they are sealed per person outside the tree.
"""

_README_ZH = """\
Fleetgate：账本 {origin} 的证据包
==========================================

entries.jsonl   {count} 条记录，每条附包含证明，末行附签名
checkpoint      账本默克尔树的大小（{size} 条）与根哈希，已签名{cosigned}
keys.txt        签名所用公钥
verify.py       验证程序；需要 Python 3.11 与 `cryptography` 包，不依赖 Fleetgate
{extra}
{scope}

验证方法：

    {command}

输出 OK 即验证通过；否则给出第一条错误记录及原因。退出状态 0 为通过，1 为未通过。

重要：验证公钥不得取自本证据包，应取自运营单位公开发布的渠道并比对：

    {vkey}

每条记录为一个 JSON 对象（RFC 8785）。`time` 为 UTC 时间；`type` 为行为类型；`outcome` 在行为之前为 `intent`，
之后为 `completed`（完成）、`refused`（拒绝）或 `failed`（失败）；各标识均为化名；
`digests` 为该行为所依据内容的 SHA-256 或 HMAC 值。个人信息不在其中，按人单独加密保存于树外。
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundled:
    """What a bundle holds: entries, and entries of its checkpoint's tree."""

    count: int
    size: int


def bundle_ledger(
    ledger: Ledger,
    stream: BinaryIO,
    *,
    note: str,
    witnesses: tuple[str, ...] = (),
    wanted: EntryFilter | None = None,
    documents: Mapping[str, bytes] | None = None,
) -> Bundled:
    """Write a ZIP archive, streamed: the same bytes for the same entries, checkpoint and documents.

    Args:
        ledger: What to bundle.
        stream: Where to write; must be seekable.
        note: The checkpoint, cosigned or not.
        witnesses: Verifier keys of the witnesses whose cosignatures it carries.
        wanted: Filter; None bundles every entry.
        documents: Further files by name, such as answers to questions; put under ``documents/``.

    Raises:
        SignatureError: ``note`` is no checkpoint of this ledger.
        ValueError: A document's name is no plain file name.
        VerificationError: A stored leaf does not verify.
    """
    vkey = ledger.signer.vkey
    size = verify_checkpoint(note, vkey).size
    extra = dict(sorted((documents or {}).items()))
    for name in extra:
        if not name or Path(name).name != name or name.startswith("."):
            raise ValueError(f"no plain file name (got {name!r})")
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open(_member("entries.jsonl"), "w", force_zip64=True) as entries:
            summary = export_ledger(ledger, entries, wanted=wanted, note=note)
        keys = "".join(f"{key}\n" for key in (vkey, *witnesses))
        for name, text in {"checkpoint": note, "keys.txt": keys}.items():
            archive.writestr(_member(name), text.encode())
        for module in (verify, verify_rendering, verify_destruction, verify_sm2):
            source = Path(str(module.__file__))
            archive.writestr(_member(source.name), source.read_bytes())
        for name, content in extra.items():
            archive.writestr(_member(f"documents/{name}"), content)
        told = _told(ledger, summary.count, size, witnesses, complete=wanted is None, documents=extra)
        for language, template in (("en", _README_EN), ("zh", _README_ZH)):
            archive.writestr(_member(f"README.{language}.txt"), template.format(**told[language]).encode())
    return Bundled(count=summary.count, size=size)


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    return info


def _told(
    ledger: Ledger,
    count: int,
    size: int,
    witnesses: tuple[str, ...],
    *,
    complete: bool,
    documents: Mapping[str, bytes],
) -> dict[str, dict[str, str]]:
    vkey = ledger.signer.vkey
    options = "".join(f" --witness '{witness}'" for witness in witnesses)
    shared = {
        "origin": ledger.signer.origin,
        "count": str(count),
        "size": str(size),
        "vkey": vkey,
        "command": f"python verify.py entries.jsonl --vkey '{vkey}'{options}",
    }
    names = ", ".join(documents)
    english = {
        "cosigned": f", cosigned by {len(witnesses)} witnesses" if witnesses else "",
        "extra": f"documents/      {names}\n" if names else "",
        "scope": (
            "The export is complete: the verifier also proves that no entry is missing."
            if complete
            else "The export is filtered (its first line says how): each entry is proved, "
            "not that none is missing."
        ),
    }
    chinese = {
        "cosigned": f"，并有 {len(witnesses)} 个见证方联署" if witnesses else "",
        "extra": f"documents/      {names}\n" if names else "",
        "scope": (
            "本导出为完整导出：验证程序同时证明没有遗漏任何记录。"
            if complete
            else "本导出经过筛选（首行说明条件）：每条记录均已证明，但不证明没有遗漏。"
        ),
    }
    return {"en": shared | english, "zh": shared | chinese}
