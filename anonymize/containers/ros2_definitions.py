"""Definitions of the message types that ROS 2 publishes, for bags that hold none."""

import functools
import re

from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.base import TypesysError

# Constants are no fields: distributions that differ in them alone encode messages alike.
_CONSTANT = re.compile(r"^\S+ \w+ ?=.*\n?", re.MULTILINE)
_PREFIX = "ros2_"
# One form in every distribution; no part of the ones that rosbags ships.
_CAN_FRAME = "can_msgs/msg/Frame"
_CAN_FRAME_FIELDS = """
std_msgs/Header header
uint32 id
bool is_rtr
bool is_extended
bool is_error
uint8 dlc
uint8[8] data
"""


@functools.cache
def published_definition(name: str, distribution: str) -> bytes:
    """The definition of a type and of all types within it, as ``ros2msg``.

    Args:
        name: Name of the type, e.g. ``sensor_msgs/msg/NavSatFix``.
        distribution: Name of the distribution that recorded the bag, e.g. ``humble``; anything else stands for
            an unknown one.

    Returns:
        The text of that distribution, or the newest text if all distributions have the same fields; empty if
        the type is unknown or its fields depend on the distribution, since then nobody knows how to decode it.
    """
    stores = {store.value: store for store in Stores if store.value.startswith(_PREFIX)}
    recorded = stores.get(_PREFIX + distribution)
    texts = [_text(name, store) for store in ([recorded] if recorded else stores.values())]
    known = [text for text in texts if text]
    if len({_CONSTANT.sub("", text) for text in known}) != 1:
        return b""
    return known[-1].encode()


def _text(name: str, store: Stores) -> str:
    types = get_typestore(store)
    if name == _CAN_FRAME:
        types.register(get_types_from_msg(_CAN_FRAME_FIELDS, name))
    try:
        return types.generate_msgdef(name, ros_version=2)[0]
    except TypesysError:
        return ""
