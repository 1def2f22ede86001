"""Structures of BLF that reading and writing share; Vector publishes none, these are those of its files."""

import struct

FILE = struct.Struct("<4sL8BQQLL8H8H")
"""Signature, header size, application, versions, sizes, counts of objects, start and stop (SYSTEMTIME)."""
FILE_BYTES = 144
OBJECT = struct.Struct("<4sHHLL")
"""Signature, header size, header version, object size, type."""
STAMP = struct.Struct("<LHHQ")
"""Unit, client, version, time; in a header of version 1."""
CONTAINER = struct.Struct("<H6xL4x")
"""Compression, bytes of the content."""
CONTAINER_TYPE = 10
STORED, DEFLATED = 0, 2
