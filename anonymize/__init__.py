"""Transforms that remove persons, positions and restricted content; pure functions over values in memory."""
