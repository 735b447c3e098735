"""What two nodes take of transports and secure channels, and what it costs where the first choice is not the other's."""

import asyncio
import sys
import threading
from importlib import import_module
from itertools import product
from pathlib import Path
from types import ModuleType

import pytest

from cortexnet import Config, DialFailed, Multiaddr, NegotiationFailed, Node
from cortexnet.swarm.dial_ranking import rank
from cortexnet.testing.network import SimulatedNetwork
from cortexnet.transport.lazy import LazyTransport
from tests.support.pairs import settle

CHOICES = (("noise",), ("tls",), ("noise", "tls"), ("tls", "noise"))
IDS = {"noise": "/noise", "tls": "/tls/1.0.0"}


def node(network: SimulatedNetwork, name: str, security: tuple[str, ...], *, listen: bool = True) -> Node:
    config = Config(transports=["memory"], memory_network=network.host(name), security=security)
    return Node(listen=["/memory/0"] if listen else [], config=config)


@pytest.mark.parametrize(("dialer", "listener"), [pair for pair in product(CHOICES, CHOICES) if set(pair[0]) & set(pair[1])])
async def test_the_first_channel_of_the_dialer_that_the_listener_has_is_taken(
    dialer: tuple[str, ...], listener: tuple[str, ...]
) -> None:
    network = SimulatedNetwork()
    async with node(network, "alice", listener) as alice, node(network, "bob", dialer, listen=False) as bob:
        await bob.dial(alice.addresses)
        (connection,) = bob.connections
        taken = next(name for name in dialer if name in listener)
        assert connection.security == IDS[taken]
        await bob.ping(alice.peer_id)
        assert bob.counters["connections"] == 1
        assert alice.tally.handshakes_failed == dialer.index(taken), "a socket for each that was refused"
    assert [count for count in (*alice.counters.values(), *bob.counters.values()) if count] == []


@pytest.mark.parametrize(("dialer", "listener"), [(("noise",), ("tls",)), (("tls",), ("noise",))])
async def test_without_a_channel_in_common_the_error_names_what_was_proposed(
    dialer: tuple[str, ...], listener: tuple[str, ...]
) -> None:
    network = SimulatedNetwork()
    async with node(network, "alice", listener) as alice, node(network, "bob", dialer, listen=False) as bob:
        with pytest.raises(DialFailed) as caught:
            await bob.dial(alice.addresses)
        ((_, error),) = caught.value.attempts
        assert isinstance(error, NegotiationFailed)
        assert error.protocols == tuple(IDS[name] for name in dialer)
        assert [count for name, count in bob.counters.items() if count] == []


def test_tcp_goes_before_quic_where_it_is_preferred_and_behind_it_otherwise() -> None:
    tcp, quic = Multiaddr.parse("/ip4/1.2.3.4/tcp/1"), Multiaddr.parse("/ip4/1.2.3.4/udp/1/quic-v1")
    assert [(dial.address, dial.delay) for dial in rank([quic, tcp], tcp_first=True)] == [(tcp, 0.0), (quic, 0.25)]
    assert [(dial.address, dial.delay) for dial in rank([tcp, quic])] == [(quic, 0.0), (tcp, 0.25)]


@pytest.mark.parametrize(
    ("transports", "tcp_first"), [(["tcp", "quic"], True), (["quic", "tcp"], False), (["tcp"], True), (["quic"], False)]
)
async def test_the_order_of_the_transports_says_which(transports: list[str], tcp_first: bool) -> None:
    async with Node(config=Config(transports=transports)) as one:
        assert one._running is not None
        assert one._running.swarm._dialer._tcp_first == tcp_first


async def test_a_transport_is_loaded_when_it_is_first_used(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def make() -> object:
        made.append(1)
        raise RuntimeError("made")

    monkeypatch.delitem(sys.modules, "cortexnet.transport.udp", raising=False)
    lazy = LazyTransport("any", lambda address: True, "cortexnet.transport.udp", make)
    assert lazy.can_dial(Multiaddr.parse("/memory/1"))
    assert "cortexnet.transport.udp" not in sys.modules
    with pytest.raises(RuntimeError, match="made"):
        await lazy.listen(Multiaddr.parse("/memory/1"), lambda connection: None)
    assert "cortexnet.transport.udp" in sys.modules
    assert made == [1]


async def test_the_loop_goes_on_while_a_transport_is_loaded_for_two_dials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module is there, for whoever asks, as soon as its loading has begun; to import it then is to wait for the rest."""
    (tmp_path / "slow_transport.py").write_text("import sys\nwas_let_go = sys.modules['gate'].event.wait(3)\n")
    event = threading.Event()
    gate = ModuleType("gate")
    gate.event = event
    monkeypatch.setitem(sys.modules, "gate", gate)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "slow_transport", gate)  # so that the real one is gone with the test
    del sys.modules["slow_transport"]

    def make() -> object:
        assert import_module("slow_transport").was_let_go
        raise RuntimeError("made")

    lazy = LazyTransport("any", lambda address: True, "slow_transport", make)
    address = Multiaddr.parse("/memory/1")
    first = asyncio.ensure_future(lazy.listen(address, lambda connection: None))
    async with asyncio.timeout(10):
        while "slow_transport" not in sys.modules:
            await settle(1)
    second = asyncio.ensure_future(lazy.listen(address, lambda connection: None))
    await settle()
    event.set()
    for one in (first, second):
        with pytest.raises(RuntimeError, match="made"):
            await one
