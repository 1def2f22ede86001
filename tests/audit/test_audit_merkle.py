"""RFC 9162 trees: published vectors, and an incremental tree against the RFC's own recursion."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import merkle
from audit.errors import ProofError

# The tree of certificate-transparency's reference tests (merkle_tree_test), eight leaves.
LEAVES = [
    bytes.fromhex(item)
    for item in [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ]
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSION_VECTORS = {
    "only leaf": (0, 1, []),
    "first of eight": (
        0,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    "sixth of eight": (
        5,
        8,
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    "third of three": (2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
}
CONSISTENCY_VECTORS = {
    "same": (1, 1, []),
    "one to eight": (
        1,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    "six to eight": (
        6,
        8,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    "two to five": (
        2,
        5,
        [
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
}


def recursive_root(leaves: list[bytes]) -> bytes:
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + recursive_root(leaves[:split]) + recursive_root(leaves[split:])).digest()


def recursive_path(index: int, leaves: list[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if index < split:
        return [*recursive_path(index, leaves[:split]), recursive_root(leaves[split:])]
    return [*recursive_path(index - split, leaves[split:]), recursive_root(leaves[:split])]


def recursive_subproof(old: int, leaves: list[bytes], *, whole: bool) -> list[bytes]:
    if old == len(leaves):
        return [] if whole else [recursive_root(leaves)]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if old <= split:
        return [*recursive_subproof(old, leaves[:split], whole=whole), recursive_root(leaves[split:])]
    return [*recursive_subproof(old - split, leaves[split:], whole=False), recursive_root(leaves[:split])]


def grow(leaves: list[bytes]) -> tuple[merkle.Frontier, merkle.NodeReader]:
    frontier = merkle.Frontier()
    stored: dict[tuple[int, int], bytes] = {}
    for index, leaf in enumerate(leaves):
        stored[0, index] = merkle.leaf_hash(leaf)
        for level, position, node in frontier.push(stored[0, index]):
            stored[level, position] = node
    return frontier, lambda level, position: stored[level, position]


def test_empty_tree_is_the_hash_of_nothing() -> None:
    assert (
        merkle.Frontier().root().hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )


@pytest.mark.parametrize("size", range(1, 9))
def test_published_roots(size: int) -> None:
    frontier, node = grow(LEAVES[:size])
    assert frontier.root().hex() == ROOTS[size - 1]
    assert merkle.range_root(0, size, node).hex() == ROOTS[size - 1]


@pytest.mark.parametrize(("index", "size", "proof"), INCLUSION_VECTORS.values(), ids=INCLUSION_VECTORS)
def test_published_inclusion_proofs(index: int, size: int, proof: list[str]) -> None:
    _, node = grow(LEAVES)
    assert [item.hex() for item in merkle.inclusion_proof(index, size, node)] == proof
    leaf = merkle.leaf_hash(LEAVES[index])
    merkle.verify_inclusion(
        leaf, index, size, [bytes.fromhex(x) for x in proof], bytes.fromhex(ROOTS[size - 1])
    )


@pytest.mark.parametrize(("old", "new", "proof"), CONSISTENCY_VECTORS.values(), ids=CONSISTENCY_VECTORS)
def test_published_consistency_proofs(old: int, new: int, proof: list[str]) -> None:
    _, node = grow(LEAVES)
    assert [item.hex() for item in merkle.consistency_proof(old, new, node)] == proof
    roots = bytes.fromhex(ROOTS[old - 1]), bytes.fromhex(ROOTS[new - 1])
    merkle.verify_consistency(old, new, *roots, [bytes.fromhex(x) for x in proof])


@settings(max_examples=60, deadline=None)
@given(leaves=st.lists(st.binary(max_size=8), min_size=1, max_size=70), data=st.data())
def test_tree_equals_the_recursion_of_the_rfc(leaves: list[bytes], data: st.DataObject) -> None:
    frontier, node = grow(leaves)
    size = len(leaves)
    root = recursive_root(leaves)
    assert frontier.root() == root
    assert merkle.Frontier.from_bytes(size, frontier.to_bytes()).root() == root
    index = data.draw(st.integers(0, size - 1))
    path = merkle.inclusion_proof(index, size, node)
    assert path == recursive_path(index, leaves)
    merkle.verify_inclusion(merkle.leaf_hash(leaves[index]), index, size, path, root)
    old = data.draw(st.integers(1, size))
    proof = merkle.consistency_proof(old, size, node)
    assert proof == recursive_subproof(old, leaves, whole=True)
    merkle.verify_consistency(old, size, recursive_root(leaves[:old]), root, proof)


@settings(max_examples=60, deadline=None)
@given(size=st.integers(2, 70), data=st.data())
def test_altered_proofs_are_refused(size: int, data: st.DataObject) -> None:
    leaves = [str(number).encode() for number in range(size)]
    frontier, node = grow(leaves)
    root = frontier.root()
    index = data.draw(st.integers(0, size - 1))
    leaf, path = merkle.leaf_hash(leaves[index]), merkle.inclusion_proof(index, size, node)
    spot = data.draw(st.integers(0, len(path) - 1))
    flipped = [bytes([item[0] ^ 1]) + item[1:] if place == spot else item for place, item in enumerate(path)]
    other = data.draw(st.integers(0, size - 1).filter(lambda value: value != index))
    for bad in (
        (leaf, index, size, flipped),
        (leaf, index, size, path[:-1]),
        (leaf, index, size, [*path, root]),
        (leaf, other, size, path),
        (merkle.leaf_hash(leaves[other]), index, size, path),
        (leaf, size, size, path),
    ):
        with pytest.raises(ProofError):
            merkle.verify_inclusion(*bad, root)


@settings(max_examples=60, deadline=None)
@given(new=st.integers(2, 70), data=st.data())
def test_altered_histories_are_refused(new: int, data: st.DataObject) -> None:
    leaves = [str(number).encode() for number in range(new)]
    old = data.draw(st.integers(1, new - 1))
    frontier, node = grow(leaves)
    root, old_root = frontier.root(), recursive_root(leaves[:old])
    proof = merkle.consistency_proof(old, new, node)
    rewritten = recursive_root([b"other", *leaves[1:old]])
    for bad in (
        (old, new, rewritten, root, proof),
        (old, new, old_root, rewritten, proof),
        (old, new, old_root, root, proof[:-1]),
        (old, new, old_root, root, [*proof, root]),
        (old, new, old_root, root, []),
        (new, new, root, old_root, []),
        (0, new, old_root, root, proof),
    ):
        with pytest.raises(ProofError):
            merkle.verify_consistency(*bad)


def test_a_leaf_cannot_pass_for_a_node() -> None:
    left, right = merkle.leaf_hash(b"a"), merkle.leaf_hash(b"b")
    assert merkle.leaf_hash(left + right) != merkle.node_hash(left, right)


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0)])
def test_no_proof_for_what_is_not_there(index: int, size: int) -> None:
    _, node = grow(LEAVES)
    with pytest.raises(ValueError, match="no such leaf"):
        merkle.inclusion_proof(index, size, node)


@pytest.mark.parametrize(("size", "data"), [(1, b""), (2, b"short"), (3, b"x" * 32)])
def test_a_frontier_must_fit_its_size(size: int, data: bytes) -> None:
    with pytest.raises(ValueError, match="frontier"):
        merkle.Frontier.from_bytes(size, data)
