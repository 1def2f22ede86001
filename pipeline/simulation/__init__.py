"""Scenarios from released tracks, simulators that run them, and how rarely a scenario ends in failure."""
