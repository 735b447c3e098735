"""What is spoken on a port that serves several things."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet import multistream
from cortexnet.transport.first_bytes import ENOUGH, kind_of


def test_a_libp2p_dialer_is_known_by_its_first_line() -> None:
    assert kind_of(multistream.propose("/noise")[:ENOUGH]) == "tcp"


@pytest.mark.parametrize(
    "request_line", [b"GET / HTTP/1.1", b"POST /", b"HEAD /", b"OPTIONS *", b"CONNECT a:1", b"PRI * HTTP/2.0"]
)
def test_a_client_of_http_is_known_by_its_method(request_line: bytes) -> None:
    assert kind_of(request_line[:ENOUGH]) == "ws"


def test_tls_is_known_by_its_record_and_its_version() -> None:
    assert [kind_of(bytes((0x16, 0x03, minor))) for minor in range(5)] == [None, "wss", "wss", "wss", None]
    assert kind_of(b"\x17\x03\x01") is None


@given(st.binary(min_size=3, max_size=3))
def test_anything_has_a_kind_or_none(begin: bytes) -> None:
    assert kind_of(begin) in ("tcp", "ws", "wss", None)
