"""Merkle trees of RFC 9162 section 2.1 (formerly RFC 6962): hashing, frontier, proofs, verification.

A *node* is a complete subtree, addressed by ``(level, position)``: it covers the ``2**level`` leaves from
``position << level``. Proofs are generated from a ``NodeReader``, whatever stores the nodes.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence

from audit.errors import ProofError

HASH_SIZE = 32
EMPTY_ROOT = hashlib.sha256().digest()

NodeReader = Callable[[int, int], bytes]


def leaf_hash(leaf: bytes) -> bytes:
    """Hash a leaf under the leaf prefix (RFC 9162, 2.1.1)."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two children under the node prefix (RFC 9162, 2.1.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The right edge of a growing tree: the roots of its complete subtrees, largest first.

    Args:
        size: Number of leaves.
        hashes: One hash per set bit of ``size``, highest bit first.

    Raises:
        ValueError: if the hashes do not fit the size.
    """

    __slots__ = ("hashes", "size")

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        if size < 0 or len(hashes) != size.bit_count() or any(len(item) != HASH_SIZE for item in hashes):
            raise ValueError(
                f"frontier does not fit its size (got {len(hashes)} hashes, expected {size.bit_count()})"
            )
        self.size = size
        self.hashes = list(hashes)

    @classmethod
    def from_bytes(cls, size: int, data: bytes) -> "Frontier":
        """Read what ``to_bytes`` wrote; raises ``ValueError`` if it does not fit ``size``."""
        if len(data) % HASH_SIZE:
            raise ValueError(f"frontier is no whole number of hashes (got {len(data)} bytes)")
        return cls(size, [data[start : start + HASH_SIZE] for start in range(0, len(data), HASH_SIZE)])

    def to_bytes(self) -> bytes:
        """Concatenate the hashes, largest subtree first."""
        return b"".join(self.hashes)

    def copy(self) -> "Frontier":
        """Return an independent copy."""
        return Frontier(self.size, self.hashes)

    def push(self, leaf: bytes) -> list[tuple[int, int, bytes]]:
        """Append one leaf hash.

        Returns:
            The inner nodes that it completes as ``(level, position, hash)``, lowest first.
        """
        index = self.size
        level = 0
        completed = []
        current = leaf
        while index >> level & 1:
            current = node_hash(self.hashes.pop(), current)
            level += 1
            completed.append((level, index >> level, current))
        self.hashes.append(current)
        self.size = index + 1
        return completed

    def root(self) -> bytes:
        """Return the root of the whole tree."""
        return _fold(self.hashes)


def nodes_of_range(begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Split leaves ``[begin, end)`` into complete subtrees, left to right.

    ``begin`` must be a multiple of the largest power of two not above ``end - begin``, as in RFC 9162.
    """
    while begin < end:
        level = (end - begin).bit_length() - 1
        yield level, begin >> level
        begin += 1 << level


def range_root(begin: int, end: int, node: NodeReader) -> bytes:
    """Return MTH(D[begin:end]) of RFC 9162 from complete nodes."""
    return _fold([node(level, position) for level, position in nodes_of_range(begin, end)])


def inclusion_proof(index: int, size: int, node: NodeReader) -> list[bytes]:
    """Return PATH(index, D[0:size]) (RFC 9162, 2.1.3.1), siblings from the leaf up.

    Raises:
        ValueError: unless ``0 <= index < size``.
    """
    if not 0 <= index < size:
        raise ValueError(f"no such leaf (got index {index}, expected below {size})")
    path = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            path.append(range_root(middle, end, node))
            end = middle
        else:
            path.append(range_root(begin, middle, node))
            begin = middle
    return path[::-1]


def consistency_proof(old: int, new: int, node: NodeReader) -> list[bytes]:
    """Return PROOF(old, D[0:new]) (RFC 9162, 2.1.4.1).

    Raises:
        ValueError: unless ``0 < old <= new``.
    """
    if not 0 < old <= new:
        raise ValueError(
            f"no consistency proof between these sizes (got {old} and {new}, expected 0 < old <= new)"
        )
    proof = []
    begin, end = 0, new
    whole = True
    while old != end:
        middle = begin + _split(end - begin)
        if old <= middle:
            proof.append(range_root(middle, end, node))
            end = middle
        else:
            proof.append(range_root(begin, middle, node))
            begin = middle
            whole = False
    if not whole:
        proof.append(range_root(begin, end, node))
    return proof[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that a leaf hash stands at ``index`` in the tree with ``size`` and ``root`` (RFC 9162, 2.1.3.2).

    Raises:
        ProofError: if the proof does not lead to ``root``.
    """
    # 1. The index lies in the tree.
    if not 0 <= index < size:
        raise ProofError(f"index outside the tree (got {index}, expected below {size})")
    # 2-4. Fold the siblings.
    fn, sn, current = index, size - 1, leaf
    for sibling in proof:
        if sn == 0:
            raise ProofError(f"inclusion proof too long (got {len(proof)} hashes)")
        if fn & 1 or fn == sn:
            current = node_hash(sibling, current)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            current = node_hash(current, sibling)
        fn, sn = fn >> 1, sn >> 1
    # 5. All levels are used up and the root is reached.
    if sn != 0:
        raise ProofError(f"inclusion proof too short (got {len(proof)} hashes)")
    if current != root:
        raise ProofError(f"inclusion proof leads elsewhere (got root {current.hex()}, expected {root.hex()})")


def verify_consistency(  # noqa: C901 - the steps of the RFC in its order
    old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the tree of size ``new`` extends the tree of size ``old`` (RFC 9162, 2.1.4.2).

    Raises:
        ProofError: if the proof does not lead to both roots.
    """
    # 1. Equal sizes need equal roots and no proof.
    if not 0 < old <= new:
        raise ProofError(f"no consistency between these sizes (got {old} and {new}, expected 0 < old <= new)")
    if old == new:
        if proof or old_root != new_root:
            raise ProofError(f"same size but other root (got {new_root.hex()}, expected {old_root.hex()})")
        return
    # 2. An old tree that is a complete subtree is its own first node.
    nodes = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not nodes or not proof:
        raise ProofError("consistency proof is empty")
    # 3-4. Start at the lowest left child that both trees share.
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    old_current = new_current = nodes[0]
    # 5. Fold the rest.
    for sibling in nodes[1:]:
        if sn == 0:
            raise ProofError(f"consistency proof too long (got {len(proof)} hashes)")
        if fn & 1 or fn == sn:
            old_current = node_hash(sibling, old_current)
            new_current = node_hash(sibling, new_current)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            new_current = node_hash(new_current, sibling)
        fn, sn = fn >> 1, sn >> 1
    # 6. Both roots are reached with no level left.
    if sn != 0:
        raise ProofError(f"consistency proof too short (got {len(proof)} hashes)")
    if old_current != old_root or new_current != new_root:
        raise ProofError(
            f"consistency proof leads elsewhere (got {new_current.hex()}, expected {new_root.hex()})"
        )


def _split(size: int) -> int:
    return 1 << ((size - 1).bit_length() - 1)


def _fold(hashes: Sequence[bytes]) -> bytes:
    if not hashes:
        return EMPTY_ROOT
    current = hashes[-1]
    for left in reversed(hashes[:-1]):
        current = node_hash(left, current)
    return current
