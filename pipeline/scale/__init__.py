"""Pure functions over many items, on a process pool or on Ray: outputs sealed, each there exactly once."""
