"""Attacks on releases, run by the gate itself to measure what positions still give away."""
