"""The vault: sealed files, keys, blobs and signed statements."""
