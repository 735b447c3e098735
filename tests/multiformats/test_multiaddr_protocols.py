from cortexnet.multiformats.multiaddr_protocols import BY_CODE, BY_NAME, PROTOCOLS, VARIABLE

# go-multiaddr v0.16.1, protocols.go: name, code, the code as it is transmitted, size in bits.
TABLE = """
ip4 4 04 32 | tcp 6 06 16 | dccp 33 21 16 | ip6 41 29 128 | ip6zone 42 2a V | ipcidr 43 2b 8 | dns 53 35 V | dns4 54 36 V
dns6 55 37 V | dnsaddr 56 38 V | sctp 132 8401 16 | udp 273 9102 16 | p2p-webrtc-direct 276 9402 0 | webrtc-direct 280 9802 0
webrtc 281 9902 0 | p2p-circuit 290 a202 0 | udt 301 ad02 0 | utp 302 ae02 0 | unix 400 9003 V | p2p 421 a503 V
https 443 bb03 0 | onion 444 bc03 96 | onion3 445 bd03 296 | garlic64 446 be03 V | garlic32 447 bf03 V | tls 448 c003 0
sni 449 c103 V | noise 454 c603 0 | quic 460 cc03 0 | quic-v1 461 cd03 0 | webtransport 465 d103 0 | certhash 466 d203 V
ws 477 dd03 0 | wss 478 de03 0 | http 480 e003 0 | http-path 481 e103 V | memory 777 8906 64 | plaintextv2 7367777 e1d8c103 0
"""
ROWS = [row.split() for row in TABLE.strip().replace("\n", " | ").split(" | ")]


def test_the_table_is_goes_table() -> None:
    ours = {(p.name, p.code, p.size) for p in PROTOCOLS}
    assert ours == {(name, int(code), VARIABLE if size == "V" else int(size) // 8) for name, code, _, size in ROWS}


def test_codes_are_transmitted_as_varints_and_variable_values_with_their_length() -> None:
    for name, _, prefix, size in ROWS:
        assert BY_NAME[name].encode(b"").hex() == prefix + ("00" if size == "V" else "")
    assert BY_NAME["dns"].encode(b"ab") == b"\x35\x02ab"
    assert BY_NAME["tcp"].encode(b"ab") == b"\x06ab"


def test_codes_and_names_are_unique_and_only_paths_end_an_address() -> None:
    assert len(BY_CODE) == len(PROTOCOLS) == len(BY_NAME) - 1
    assert BY_NAME["ipfs"] is BY_NAME["p2p"]
    assert [p.name for p in PROTOCOLS if p.is_path] == ["unix"]


def test_a_protocol_without_value_has_neither_bytes_nor_text() -> None:
    assert BY_NAME["tls"].to_bytes("") == b""
    assert BY_NAME["tls"].to_text(b"") == ""
