"""The payload that all peers agree on."""

import hashlib

import pytest

from interop.harness.payload import PERIOD, digest, payload


def test_the_payload_begins_with_the_digests_of_the_numbers() -> None:
    assert payload(0, 64) == hashlib.sha256(b"0").digest() + hashlib.sha256(b"1").digest()


def test_the_payload_repeats_after_its_period() -> None:
    assert payload(PERIOD - 3, 10) == payload(PERIOD - 3, 3) + payload(0, 7)
    assert payload(5 * PERIOD + 7, 3 * PERIOD) == payload(7, 3 * PERIOD)


@pytest.mark.parametrize("offset", [0, 1, PERIOD - 1, 16 * PERIOD])
@pytest.mark.parametrize("size", [0, 1, PERIOD, 17 * PERIOD + 5])
def test_a_digest_is_that_of_the_piece_of_payload(offset: int, size: int) -> None:
    assert digest(offset, size) == hashlib.sha256(payload(offset, size)).hexdigest()


def test_the_first_byte_has_the_checksum_that_the_go_peer_computes() -> None:
    assert digest(0, 1) == "d2e2adf7177b7a8afddbc12d1634cf23ea1a71020f6a1308070a16400fb68fde"
    assert digest(0, 1 << 20) == "6fbeb2e6be5775ae8aaf958e04b629845d4b62576cc666c09bc3fbdc4ae206ff"
