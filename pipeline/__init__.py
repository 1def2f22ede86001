"""Downstream of the gate: readers of released data that hold a grant and speak HTTP, nothing else."""
