"""What a released MCAP says of itself beside its messages."""

import re
from collections.abc import Mapping

LIBRARY = "fleetgate"
PROFILES = frozenset({"", "ros1", "ros2"})

# Durations in offered QoS can be any number. They are kept where they mean nothing, infinity, or fewer than
# 100,000 seconds, so that little can be written in them.
_QOS_VALUES = (
    r"true|false|unknown|system_default|best_available|keep_last|keep_all|reliable|best_effort|volatile"
    r"|transient_local|automatic|manual_by_node|manual_by_topic|\d{1,5}|2147483647|2147483651|4294967295"
    r"|294967295|9223372036|854775807|9223372036854775807"
)
_QOS_KEYS = (
    r"history|depth|reliability|durability|deadline|lifespan|liveliness|liveliness_lease_duration"
    r"|avoid_ros_namespace_conventions|sec|nsec"
)
CHANNEL_METADATA: Mapping[str, re.Pattern[str]] = {
    "latching": re.compile(r"[01]"),
    "md5sum": re.compile(r"[0-9a-f]{32}"),
    "offered_qos_profiles": re.compile(
        rf"(?:[- ]{{0,6}}(?:{_QOS_KEYS}):(?: (?:{_QOS_VALUES}))?(?:\n|\Z)){{0,512}}"
    ),
    "topic_type_hash": re.compile(r"RIHS01_[0-9a-f]{64}"),
}


def kept_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """The entries of a channel's metadata that leave with it: known keys with values of their form.

    Node names (``callerid``), which name machines and people, do not.
    """
    return {
        key: value
        for key, value in metadata.items()
        if key in CHANNEL_METADATA and CHANNEL_METADATA[key].fullmatch(value)
    }
