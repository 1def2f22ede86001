"""Spent nonces: one winner among threads, expiry, bounds."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from gateway.api.nonces import MemoryNonceStore
from gateway.api.refusals import SignatureReason, SignatureRefusedError

NOW = datetime(2026, 11, 21, tzinfo=UTC)
UNTIL = NOW + timedelta(seconds=61)


def test_one_of_many_threads_spends_a_nonce():
    store = MemoryNonceStore()

    with ThreadPoolExecutor(8) as pool:
        claims = list(
            pool.map(lambda i: store.claim(keyid="v", nonce=f"n{i % 50}", now=NOW, until=UNTIL), range(400))
        )

    assert claims.count(True) == 50


def test_nonces_of_different_keys_are_different():
    store = MemoryNonceStore()

    assert store.claim(keyid="a", nonce="n", now=NOW, until=UNTIL)
    assert store.claim(keyid="b", nonce="n", now=NOW, until=UNTIL)


def test_a_nonce_is_forgotten_once_its_signature_is_too_old():
    store = MemoryNonceStore(capacity=1)
    assert store.claim(keyid="a", nonce="n", now=NOW, until=UNTIL)

    assert not store.claim(keyid="a", nonce="n", now=UNTIL - timedelta(seconds=1), until=UNTIL)
    assert store.claim(keyid="a", nonce="m", now=UNTIL, until=UNTIL + timedelta(seconds=61))


@pytest.mark.parametrize("bounds", [{"capacity": 3}, {"per_key": 3}])
def test_a_full_store_refuses_instead_of_forgetting(bounds: dict[str, int]):
    store = MemoryNonceStore(**bounds)
    for i in range(3):
        assert store.claim(keyid="a", nonce=f"n{i}", now=NOW, until=UNTIL)

    with pytest.raises(SignatureRefusedError) as caught:
        store.claim(keyid="a", nonce="n3", now=NOW, until=UNTIL)

    assert caught.value.reason is SignatureReason.NONCES_EXHAUSTED
    assert not store.claim(keyid="a", nonce="n0", now=NOW, until=UNTIL)


def test_one_key_cannot_lock_out_another():
    store = MemoryNonceStore(per_key=1)
    store.claim(keyid="a", nonce="n", now=NOW, until=UNTIL)

    assert store.claim(keyid="b", nonce="n", now=NOW, until=UNTIL)
