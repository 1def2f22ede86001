"""Kinds of point cloud, told apart by their first bytes."""

from enum import StrEnum

from anonymize.points.las_layout import COPC_USER

_LAS_MAGIC = b"LASF"
_POINT_FORMAT_AT = 104
_COMPRESSED = 0x80
_FIRST_VLR_USER = slice(377, 381)
_LEAST_LAS_BYTES = 227
_PCD_STARTS = (b"# .PCD", b"#.PCD", b"VERSION", b"FIELDS")
_PCD_HEAD_BYTES = 65_536


class CloudKind(StrEnum):
    """How a cloud is stored. A COPC leaves as LAZ."""

    KITTI = "kitti"
    PCD = "pcd"
    LAS = "las"
    LAZ = "laz"
    COPC = "copc"


MEDIA_TYPES = {
    CloudKind.KITTI: "application/octet-stream",
    CloudKind.PCD: "application/x-pcd",
    CloudKind.LAS: "application/vnd.las",
    CloudKind.LAZ: "application/vnd.laszip",
    CloudKind.COPC: "application/vnd.laszip",
}


def cloud_kind(head: bytes) -> CloudKind | None:
    """Which kind a file is, or None when it is none with a signature (KITTI sweeps have none).

    Args:
        head: The file, or no less than its first 64 KiB.
    """
    if is_pcd(head):
        return CloudKind.PCD
    if not is_las(head):
        return None
    if not head[_POINT_FORMAT_AT] & _COMPRESSED:
        return CloudKind.LAS
    return CloudKind.COPC if head[_FIRST_VLR_USER] == COPC_USER.encode() else CloudKind.LAZ


def is_las(head: bytes) -> bool:
    """Whether a file is LAS, LAZ or COPC."""
    return head.startswith(_LAS_MAGIC) and len(head) >= _LEAST_LAS_BYTES


def is_pcd(head: bytes) -> bool:
    """Whether a file begins as PCD and names its fields and how its points are stored."""
    start = head[:_PCD_HEAD_BYTES]
    if not start.startswith(_PCD_STARTS):
        return False
    lines = start.split(b"\n")
    return any(line.startswith(b"FIELDS ") for line in lines) and any(
        line.startswith(b"DATA ") for line in lines
    )
