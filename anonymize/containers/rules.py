"""Which treatment a channel takes: the profile's rules in order, by schema and topic."""

import functools
import re
from collections.abc import Mapping

from anonymize.containers.stream import Channel, Summary
from anonymize.containers.tree import type_name
from anonymize.errors import LimitExceededError, UnknownFormatError
from anonymize.profile import ChannelTreatment, ContainerProfile


def treatment_of(channel: Channel, profile: ContainerProfile) -> ChannelTreatment:
    """The treatment of a channel; never ``keep`` for one that no rule names.

    Schemas compare without the ``msg`` of ROS 2 names; case counts. ``*`` in a rule stands for any run of
    characters.
    """
    name = type_name(channel.schema.name) if channel.schema else ""
    for rule in profile.channels:
        if _pattern(type_name(rule.schema)).fullmatch(name) and _pattern(rule.topic).fullmatch(channel.topic):
            return rule.treat
    return profile.unknown_channel


def treatments_of(summary: Summary, profile: ContainerProfile) -> Mapping[int, ChannelTreatment]:
    """The treatment of every channel, by its id.

    Raises:
        LimitExceededError: There are more channels or messages than the profile permits.
        UnknownFormatError: A channel with messages is for quarantine; names its topic and schema.
    """
    if len(summary.channels) > profile.max_channels:
        raise LimitExceededError(
            f"the container has too many channels "
            f"(got {len(summary.channels)}, expected at most {profile.max_channels})"
        )
    total = sum(summary.counts.values())
    if total > profile.max_messages:
        raise LimitExceededError(
            f"the container has too many messages (got {total}, expected at most {profile.max_messages})"
        )
    found = {channel.id: treatment_of(channel, profile) for channel in summary.channels}
    for channel in summary.channels:
        if found[channel.id] == "quarantine" and summary.counts.get(channel.id, 0):
            schema = channel.schema.name if channel.schema else ""
            raise UnknownFormatError(
                f"the profile lets no channel of this kind pass "
                f"(got topic {channel.topic[:128]!r} with schema {schema[:128]!r}, expected one that a rule names)"
            )
    return found


@functools.lru_cache(maxsize=1024)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in text.split("*")), re.DOTALL)
