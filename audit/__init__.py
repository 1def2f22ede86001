"""The transparency log of the gate: entries, Merkle proofs, checkpoints, verification, queries, exports."""
