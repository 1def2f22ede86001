"""What compression hides from a search, or makes up for it, is searched expanded."""

import io
import json
import struct

import numpy as np
import pytest
from mcap.stream_reader import StreamReader

from anonymize.containers.expanded import expanded
from anonymize.containers.mcap_writer import write_mcap
from anonymize.containers.stream import Channel, Message
from anonymize.errors import LimitExceededError, MalformedItemError
from anonymize.text.identifier_search import find_identifiers

VIN = "1M8GDM9AXKP042788"
CHANNEL = Channel(id=3, topic="/notes", message_encoding="json", schema=None)


def container(*texts: bytes, chunk_bytes: int = 1 << 18) -> bytes:
    messages = (
        Message(channel=CHANNEL, log_time_ns=n, publish_time_ns=n, sequence=n, data=text)
        for n, text in enumerate(texts)
    )
    return b"".join(write_mcap(messages, profile="", chunk_bytes=chunk_bytes))


def searched(content: bytes) -> bytes:
    return b"".join(expanded(io.BytesIO(content)))


def test_every_message_is_there_and_nothing_outside_of_chunks_is_lost() -> None:
    texts = [json.dumps({"n": n, "text": "wet road " * n}).encode() for n in range(200)]
    content = container(*texts, chunk_bytes=3000)
    found = searched(content)
    assert all(text in found for text in texts)
    records = list(StreamReader(io.BytesIO(content), emit_chunks=True).records)
    chunks = [record for record in records if type(record).__name__ == "Chunk"]
    assert len(chunks) > 10
    grown = sum(chunk.uncompressed_size - len(chunk.data) for chunk in chunks)  # type: ignore[attr-defined]
    assert len(found) == len(content) + grown
    assert found[:9] == content[:9]
    behind = content.rindex(chunks[-1].data) + len(chunks[-1].data)  # type: ignore[attr-defined]
    assert found.endswith(content[behind:])
    assert searched(content + b"more")[-12:] == content[-8:] + b"more"


def test_a_vin_that_compression_takes_apart_is_found() -> None:
    parts = [b'{"a": "road 1M8GDM9A", "b": "XKP042788 wet"}', b'{"car": "' + VIN.encode() + b'"}', b"{}" * 40]
    content = container(*parts)
    assert find_identifiers(content) == ()
    (found,) = find_identifiers(searched(content))
    assert found.label == "check digit"


def test_numbers_that_compression_joins_with_its_own_bytes_are_no_vins() -> None:
    """The digits of an lz4 frame between its offsets look like words: over thousands of poses some are VINs."""
    rng = np.random.default_rng(1)
    turns = rng.uniform(0.1, 1.0, (4000, 4)).tolist()
    poses = [json.dumps(dict(zip("xyzw", turn, strict=True))).encode() for turn in turns]
    content = container(*poses)
    assert find_identifiers(content)
    assert find_identifiers(searched(content)) == ()


def test_what_is_cut_short_or_claims_too_much_is_refused() -> None:
    content = container(*[b'{"n": 1}'] * 50)
    for length in (0, 7, 8, 12, 60, len(content) // 2):
        with pytest.raises(MalformedItemError):
            searched(content[:length])
    at = content.index(b"\x03\x00\x00\x00lz4") - 12
    with pytest.raises(LimitExceededError):
        searched(content[:at] + struct.pack("<Q", 1 << 31) + content[at + 8 :])
    with pytest.raises(MalformedItemError):
        searched(content[:at] + struct.pack("<Q", 17) + content[at + 8 :])
