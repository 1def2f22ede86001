"""Which container some bytes begin."""

import struct

from anonymize.containers.stream import ContainerKind

HEAD_BYTES = 32

_SIGNATURES = {
    b"\x89MCAP0\r\n": ContainerKind.MCAP,
    b"#ROSBAG V2.0\n": ContainerKind.ROS1_BAG,
    b"SQLite format 3\x00": ContainerKind.ROS2_DB3,
}
# Apollo, cyber/record/file: a section header (type 0, its size) and in it a protobuf message whose first fields
# are major_version = 1, minor_version = 0 and compress.
_CYBER_SECTION = struct.Struct("<qq")
_CYBER_HEADER_BYTES = 2048
_CYBER_FIELDS = b"\x08\x01\x10\x00\x18"


def sniff_container(head: bytes) -> ContainerKind | None:
    """The container that begins here, or None.

    An SQLite database counts as a ROS 2 bag; whether it is one, opening it says.

    Args:
        head: The first ``HEAD_BYTES`` of the file, or more.
    """
    for signature, kind in _SIGNATURES.items():
        if head.startswith(signature):
            return kind
    return ContainerKind.CYBER_RECORD if _is_cyber(head) else None


def _is_cyber(head: bytes) -> bool:
    if len(head) < HEAD_BYTES:
        return False
    kind, size = _CYBER_SECTION.unpack_from(head)
    is_header = kind == 0 and 0 < size <= _CYBER_HEADER_BYTES
    return bool(is_header) and head.startswith(_CYBER_FIELDS, _CYBER_SECTION.size)
