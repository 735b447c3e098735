import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.swarm.dial_ranking import PRIVATE_STEP, PUBLIC_STEP, rank, without_worse

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "dial_ranking.json").read_text())["rankings"]
TEXTS = sorted({text for vector in VECTORS for text in vector["addresses"]})


def parse(texts: list[str]) -> list[Multiaddr]:
    return [Multiaddr.parse(text) for text in texts]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{len(vector['addresses'])} {vector['addresses'][0][:24]}")
def test_the_schedule_is_that_of_go(vector: dict[str, list[object]]) -> None:
    schedule = rank(parse(vector["addresses"]))
    assert [[round(dial.delay * 1000), str(dial.address)] for dial in schedule] == vector["dials"]


def test_public_addresses_start_250_ms_apart_and_private_ones_30_ms() -> None:
    public = rank(parse(["/ip4/1.2.3.4/tcp/2", "/ip4/1.2.3.4/tcp/1"]))
    assert [(dial.address.value_of("tcp"), dial.delay) for dial in public] == [("1", 0), ("2", PUBLIC_STEP)]
    private = rank(parse(["/ip4/127.0.0.1/tcp/1", "/ip4/192.168.1.2/tcp/2"]))
    assert [dial.delay for dial in private] == [0, PRIVATE_STEP]


@given(st.lists(st.sampled_from(TEXTS), unique=True))
def test_each_address_is_due_once_and_in_the_order_of_the_delays(texts: list[str]) -> None:
    schedule = rank(parse(texts))
    assert sorted(str(dial.address) for dial in schedule) == sorted(texts)
    assert [dial.delay for dial in schedule] == sorted(dial.delay for dial in schedule)
    assert all(dial.delay >= 0 for dial in schedule)


@pytest.mark.parametrize(
    ("texts", "kept"),
    [
        (["/ip4/1.2.3.4/tcp/1/ws", "/ip4/1.2.3.4/tcp/1", "/ip4/1.2.3.4/tcp/1/tls/ws", "/ip4/1.2.3.4/tcp/1/wss"], [1]),
        (["/ip4/1.2.3.4/tcp/1", "/ip4/1.2.3.4/tcp/2/ws", "/ip4/1.2.3.5/tcp/1/ws", "/ip6/::1/tcp/1/ws"], [0, 1, 2, 3]),
        (["/ip4/1.2.3.4/tcp/1/ws", "/ip4/1.2.3.4/tcp/1/wss"], [0, 1]),
        (["/ip4/1.2.3.4/udp/1/quic-v1/webtransport", "/ip4/1.2.3.4/udp/1/quic", "/ip4/1.2.3.4/udp/1/quic-v1"], [2]),
        (["/ip4/1.2.3.4/udp/1/quic-v1/webtransport", "/ip4/1.2.3.4/udp/1/quic", "/ip4/1.2.3.4/udp/2/quic-v1"], [0, 1, 2]),
        (["/ip4/1.2.3.4/udp/1/quic-v1", "/ip4/1.2.3.4/tcp/1/ws", "/memory/1"], [0, 1, 2]),
    ],
)
def test_what_leads_to_the_same_port_in_a_worse_way_is_left_out(texts: list[str], kept: list[int]) -> None:
    assert [str(address) for address in without_worse(parse(texts))] == [texts[index] for index in kept]
