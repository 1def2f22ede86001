"""The key ceremony: rotate the keystore's root key, share it among custodians, recover it; each in the ledger."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from audit.events import EventType
from gateway.flow.acts import intended
from gateway.flow.gate import Gate
from gateway.people.permission import permit
from gateway.people.registry import Actor
from gateway.vault.durable import write_once
from gateway.vault.errors import KeyExistsError, KeyUnavailableError
from gateway.vault.keys import Keystore
from gateway.vault.provider import KeyProvider
from gateway.vault.root_file import Roots
from gateway.vault.rotation import recovered_roots
from gateway.vault.shares import combine_shares, split_secret
from gateway.vault.suites import Suite

_LEAST_WORDS: Final = 20


def rotate_root(gate: Gate, provider: KeyProvider, *, actor: Actor) -> int:
    """Give the keystore a fresh root key under a provider; no sealed file is touched.

    Shares that custodians hold belong to the root key before and open nothing afterwards.

    Returns:
        How many keys were wrapped again.

    Raises:
        ActDeniedError: Policy refuses.
        KeyUnavailableError: Another process has the keystore open, a key does not open, or the provider refuses.
        StorageError: The operating system failed; what was begun is finished when the gate opens next.
    """
    permit(gate, actor, "key.rotate")
    event = intended(
        EventType.VAULT_KEY_ROTATE,
        actor=actor.id,
        object_id="root",
        digests={**actor.digests, "before": gate.keystore.roots.fingerprint},
    )
    with gate.ledger.intent(event) as intent:
        count = gate.keystore.rotate(provider)
        intent.complete(
            digests={**actor.digests, "root": gate.keystore.roots.fingerprint},
            facts={"provider": provider.kind, "keys": count},
        )
    return count


def share_root(gate: Gate, directory: Path, *, shares: int, threshold: int, actor: Actor) -> tuple[Path, ...]:
    """Write the root key in shares, one file of mode 0600 for each custodian.

    Args:
        gate: The gate.
        directory: Where they go; no file of theirs may be there.
        shares: How many, up to 16.
        threshold: How many recover the root key, at least two.
        actor: Who holds the ceremony.

    Returns:
        The files.

    Raises:
        ActDeniedError: Policy refuses.
        ValueError: The numbers are no scheme.
        KeyExistsError: A file of that name is there.
        KeyUnavailableError: A rotation has not ended.
        StorageError: The operating system failed; what was written of this ceremony is removed.
    """
    permit(gate, actor, "key.backup")
    roots = gate.keystore.roots
    if roots.previous is not None:
        raise KeyUnavailableError("a rotation has not ended (expected one root key to share)")
    lines = split_secret(roots.current, shares=shares, threshold=threshold)
    files = [directory / f"share-{number}-of-{shares}.txt" for number in range(1, shares + 1)]
    event = intended(
        EventType.VAULT_KEY_BACKUP,
        actor=actor.id,
        object_id="root",
        digests={**actor.digests, "root": roots.fingerprint},
    )
    with gate.ledger.intent(event) as intent:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        written: list[Path] = []
        try:
            for number, (file, words) in enumerate(zip(files, lines, strict=True), start=1):
                write_once(file, _page(roots, words, f"{number}/{shares}", threshold).encode())
                written.append(file)
        except FileExistsError as error:
            raise KeyExistsError(
                f"a share is in '{directory.name}' already (expected an empty place)"
            ) from error
        finally:
            if len(written) < shares:
                for file in written:
                    file.unlink()
        intent.complete(
            digests={**actor.digests, "root": roots.fingerprint},
            facts={"shares": shares, "threshold": threshold},
        )
    return tuple(files)


def _page(roots: Roots, words: str, number: str, threshold: int) -> str:
    return (
        f"Fleetgate 密钥份额 {number},任意 {threshold} 份可恢复根密钥\n"
        f"Fleetgate key share {number}, any {threshold} recover the root key\n"
        f"密钥库 / keystore: {roots.keystore}\n"
        f"根密钥指纹 / root key fingerprint: {roots.fingerprint}\n"
        "请离线分开保管,切勿与密钥库副本放在一起\n"
        "Keep it offline and apart, never beside a copy of the keystore\n"
        f"\n{words}\n"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """A keystore that custodians opened.

    Attributes:
        keystore: The keystore; its root file is as it was.
        members: Numbers of the shares, from 1.
    """

    keystore: Keystore
    members: tuple[int, ...]


def recover_keystore(path: Path, files: Sequence[Path], *, suite: Suite) -> Recovered:
    """Open a keystore by the shares of its custodians.

    1. The shares are undamaged, of one ceremony and enough.
    2. They give the root key that the keystore names by fingerprint; where its root file is lost, one that
       opens its keys.

    Raises:
        KeyUnavailableError: A step failed, or there is no keystore.
        StorageError: The operating system failed.
    """
    root, members = combine_shares([_words(file) for file in files])  # 1
    roots = recovered_roots(path, root)  # 2
    keystore = Keystore.open_recovered(path, roots, suite=suite)
    return Recovered(keystore=keystore, members=tuple(members))


def _words(file: Path) -> str:
    """The line of words in a share's file, whatever stands around it."""
    lines = [line.split() for line in file.read_text(encoding="utf-8").splitlines()]
    found = [words for words in lines if len(words) >= _LEAST_WORDS and all(w.isascii() for w in words)]
    if len(found) != 1:
        raise KeyUnavailableError(f"'{file.name}' holds no share (expected one line of words)")
    return " ".join(found[0]).lower()


def complete_recovery(gate: Gate, recovered: Recovered, provider: KeyProvider, *, actor: Actor) -> None:
    """Put the recovered root key under a passphrase or provider that the operator has.

    Raises:
        ActDeniedError: Policy refuses.
        KeyUnavailableError: The provider refuses.
        StorageError: The root file could not be replaced; it is what it was or what it shall be.
    """
    permit(gate, actor, "key.recover")
    fingerprint = recovered.keystore.roots.fingerprint
    event = intended(
        EventType.VAULT_KEY_RECOVER,
        actor=actor.id,
        object_id="root",
        digests={**actor.digests, "root": fingerprint},
    )
    with gate.ledger.intent(event) as intent:
        recovered.keystore.protect(provider)
        intent.complete(
            digests={**actor.digests, "root": fingerprint},
            facts={"provider": provider.kind, "shares": ".".join(map(str, recovered.members))},
        )
