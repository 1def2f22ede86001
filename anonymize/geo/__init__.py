"""Positions: reference systems, restricted zones, the two release modes and the search for what they left."""
