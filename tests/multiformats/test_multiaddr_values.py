from collections.abc import Callable

import pytest

from cortexnet.errors import ProtocolViolation
from cortexnet.multiformats import multiaddr_values as values
from cortexnet.multiformats import multihash
from cortexnet.multiformats.cid import Cid

TO_BYTES: list[tuple[Callable[[str], bytes], str, str]] = [
    (values.ip4_to_bytes, "255.0.10.1", "ff000a01"),
    (values.ip6_to_bytes, "::ffff:1.2.3.4", "00" * 10 + "ffff01020304"),
    (values.port_to_bytes, "0", "0000"),
    (values.port_to_bytes, "00080", "0050"),
    (values.octet_to_bytes, "255", "ff"),
    (values.memory_to_bytes, "18446744073709551615", "ff" * 8),
    (values.utf8_to_bytes, "\u00e4", "c3a4"),
    (values.onion_to_bytes, "AAIMAQ4YGG2IEGCI:80", "0010c0439831b48218480050"),
    (values.http_path_to_bytes, "a%2Fb+c%20\u00e4", "612f62206320c3a4"),
    (values.http_path_to_bytes, "%ff", "ff"),
]


@pytest.mark.parametrize(("read", "text", "data"), TO_BYTES)
def test_text_is_read(read: Callable[[str], bytes], text: str, data: str) -> None:
    assert read(text).hex() == data


TO_TEXT: list[tuple[Callable[[bytes], str], str, str]] = [
    (values.ip4_to_text, "ff000a01", "255.0.10.1"),
    (values.ip6_to_text, "00" * 10 + "ffff01020304", "::ffff:1.2.3.4"),
    (values.ip6_to_text, "00" * 12 + "01020304", "::102:304"),
    (values.ip6_to_text, "2001" + "0000" * 2 + "0001" + "0000" * 3 + "0001", "2001:0:0:1::1"),
    (values.ip6_to_text, "2001" + "0000" + "0001" * 6, "2001:0:1:1:1:1:1:1"),
    (values.ip6_to_text, "00" * 16, "::"),
    (values.number_to_text, "0050", "80"),
    (values.http_path_to_text, "612f622063c37e2d5f2e", "a%2Fb+c%C3~-_."),
]


@pytest.mark.parametrize(("write", "data", "text"), TO_TEXT)
def test_text_is_written_as_go_writes_it(write: Callable[[bytes], str], data: str, text: str) -> None:
    assert write(bytes.fromhex(data)) == text


REFUSED_TEXT: list[tuple[Callable[[str], bytes], str, str]] = [
    *[(values.ip4_to_bytes, text, "quad") for text in ("", "1.2.3", "1.2.3.4.5", "1.2.3.", "1.2.3.256", "1.2.3.04", "1.2.3.+4")],
    (values.ip4_to_bytes, "1.2.3.\u0664", "quad"),
    *[(values.ip6_to_bytes, text, "IPv6") for text in ("", "1.2.3.4", ":::", "1:2:3:4:5:6:7", "::ffff:1.2.3", "12345::")],
    (values.ip6_to_bytes, "fe80::1%eth0", "ip6zone"),
    *[(values.port_to_bytes, text, "decimal") for text in ("", "-1", "+1", " 1", "1_0", "0x1", "\u0661", "1" * 21)],
    (values.port_to_bytes, "65536", "over 65535"),
    (values.octet_to_bytes, "256", "over 255"),
    (values.memory_to_bytes, "18446744073709551616", "over 18446744073709551615"),
    (values.utf8_to_bytes, "\ud800", "UTF-8"),
    (values.peer_to_bytes, "", "empty"),
    (values.peer_to_bytes, "1O", "does not belong"),
    (values.peer_to_bytes, str(Cid.for_data(b"x")), "codec 0x55"),
    (values.onion_to_bytes, "aaimaq4ygg2iegci", "port is missing"),
    (values.onion_to_bytes, "aaimaq4ygg2iegci:80:80", "decimal"),
    (values.onion_to_bytes, "aaimaq4ygg2iegc:80", "whole bytes"),
    (values.onion3_to_bytes, "aaimaq4ygg2iegci:80", "10 bytes instead of 35"),
    (values.garlic64_to_bytes, "AA+A", "does not belong"),
    (values.garlic64_to_bytes, "AAA", "padding"),
    *[(values.garlic32_to_bytes, text, "base32") for text in ("AA", "aa=", "\u0131\u0131", "a", "a1")],
    *[(values.http_path_to_bytes, text, "hexadecimal") for text in ("%", "a%f", "%g0", "%%20", "%2\u00e4", "% 1")],
]


@pytest.mark.parametrize(("read", "text", "why"), REFUSED_TEXT)
def test_text_that_is_no_value_is_refused(read: Callable[[str], bytes], text: str, why: str) -> None:
    with pytest.raises(ProtocolViolation, match=why):
        read(text)


REFUSED_BYTES: list[tuple[Callable[[bytes], None], bytes, str]] = [
    (values.check_name, b"a/b", "slash"),
    (values.check_name, b"\xff", "UTF-8"),
    *[(values.check_path, data, "a path begins") for data in (b"/", b"a", b"ab", b"/a/")],
    (values.check_path, b"/\xff", "UTF-8"),
    (values.check_peer, b"", "cut short"),
    (values.check_peer, multihash.wrap(0x13, bytes(64)), "multihash 0x13"),
    (values.check_peer, b"\x12\x1f" + bytes(31), "32 bytes"),
    (values.check_certhash, b"\x12\x20" + bytes(31), "announces"),
    (values.check_onion, b"\xff" * 10 + b"\0\0", "port 0"),
    (values.check_garlic64, bytes(385), "too few"),
    *[(values.check_garlic32, bytes(size), "neither") for size in (31, 33, 34)],
]


@pytest.mark.parametrize(("check", "data", "why"), REFUSED_BYTES)
def test_bytes_that_are_no_value_are_refused(check: Callable[[bytes], None], data: bytes, why: str) -> None:
    with pytest.raises(ProtocolViolation, match=why):
        check(data)


ACCEPTED_BYTES: list[tuple[Callable[[bytes], None], bytes]] = [
    (values.check_name, "\u00e4\n".encode()),
    (values.check_path, b"//a\0"),
    (values.check_peer, b"\0\0"),
    (values.check_peer, multihash.sha2_256(b"")),
    (values.check_certhash, multihash.wrap(0x13, bytes(64))),
    (values.check_onion, b"\xff" * 10 + b"\0\1"),
    (values.check_garlic64, bytes(386)),
    *[(values.check_garlic32, bytes(size)) for size in (32, 35, 36)],
]


@pytest.mark.parametrize(("check", "data"), ACCEPTED_BYTES)
def test_bytes_that_are_a_value_pass(check: Callable[[bytes], None], data: bytes) -> None:
    check(data)
