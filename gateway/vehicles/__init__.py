"""Vehicles: what they announce, deliver and run."""
