"""Two QUIC engines and the network between them, in memory and in virtual time."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import final

from aioquic.tls import Epoch

from cortexnet.identity.identity import Identity
from cortexnet.identity.peer_id import PeerId
from cortexnet.mux.muxer import MemoryBudget, MuxEvent
from cortexnet.quic.aioquic_engine import AioquicEngine, Verify
from cortexnet.quic.engine import Address, Origin, QuicConfig, QuicEngine
from cortexnet.security.certificate import create_certificate, verify_chain

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CLIENT: Address = ("192.0.2.1", 4001)
SERVER: Address = ("192.0.2.2", 4001)


def verify(chain, expected):  # as the shell does, at a time of the test's
    return verify_chain(chain, expected=expected, now=NOW)


def engine(
    identity: Identity,
    *,
    config: QuicConfig | None = None,
    memory: MemoryBudget | None = None,
    expected: PeerId | None = None,
    origin: Origin | None = None,
    verify: Verify = verify,
) -> AioquicEngine:
    certificate = create_certificate(identity.private_key, now=NOW)
    return AioquicEngine(certificate, verify, config or QuicConfig(), memory=memory, expected=expected, origin=origin)


@dataclass
class Conditions:
    """What befalls datagrams; all chance comes from `random`."""

    random: Random = field(default_factory=lambda: Random(0))
    latency: float = 0.01
    jitter: float = 0.0
    loss: float = 0.0
    duplication: float = 0.0


@final
class Pair:
    """`client` and `server`; `run` lets time pass. Events are kept in the lists of the same names."""

    def __init__(
        self,
        client: QuicEngine,
        make_server: Callable[[Origin], QuicEngine],
        conditions: Conditions | None = None,
    ) -> None:
        self.client = client
        self._make_server = make_server
        self._server: QuicEngine | None = None
        self.conditions = conditions or Conditions()
        self.now = 100.0
        self.client_events: list[MuxEvent] = []
        self.server_events: list[MuxEvent] = []
        self.sent = {CLIENT: 0, SERVER: 0}
        self._order = count()
        self._wire: list[tuple[float, int, Address, bytes]] = []
        client.connect(SERVER, self.now)
        self.flush()

    @property
    def server(self) -> QuicEngine:
        assert self._server is not None
        return self._server

    def flush(self) -> None:
        """What the engines have to send goes on its way."""
        for engine, source in ((self.client, CLIENT), (self._server, SERVER)):
            if engine is not None:
                for datagram, target in engine.datagrams_to_send(self.now):
                    self.sent[source] += len(datagram)
                    self._carry(datagram, target)

    def _carry(self, datagram: bytes, target: Address) -> None:
        conditions = self.conditions
        random = conditions.random
        copies = 0 if random.random() < conditions.loss else 1 + (random.random() < conditions.duplication)
        for _ in range(copies):
            due = self.now + conditions.latency + random.random() * conditions.jitter
            heappush(self._wire, (due, next(self._order), target, datagram))

    def step(self) -> bool:
        """To the next thing that happens; False where nothing is to happen any more."""
        due = [engine.next_timeout() for engine in (self.client, self._server) if engine is not None]
        times = [time for time in due if time is not None]
        if self._wire:
            times.append(self._wire[0][0])
        if not times:
            return False
        self.now = max(self.now, min(times))
        while self._wire and self._wire[0][0] <= self.now:
            _, _, target, datagram = heappop(self._wire)
            self.deliver(datagram, target)
        for engine, events in ((self.client, self.client_events), (self._server, self.server_events)):
            if engine is not None:
                when = engine.next_timeout()
                if when is not None and when <= self.now:
                    events += engine.handle_timeout(self.now)
        self.flush()
        return True

    def deliver(self, datagram: bytes, target: Address) -> None:
        if target == CLIENT:
            self.client_events += self.client.receive(datagram, SERVER, self.now)
            return
        if self._server is None:
            self._server = self._make_server(Origin(datagram[6 : 6 + datagram[5]]))
        self.server_events += self._server.receive(datagram, CLIENT, self.now)

    def run(self, seconds: float = 1.0, until: Callable[[], bool] = lambda: False) -> None:
        end = self.now + seconds
        while not until() and self.now < end and self.step():
            pass

    def establish(self) -> None:
        self.run(20, lambda: self.client.is_established and self._server is not None and self._server.is_established)
        assert self.client.is_established
        assert self.server.is_established


def pair(conditions: Conditions | None = None, *, config: QuicConfig | None = None, memory: MemoryBudget | None = None) -> Pair:
    """Two that know each other; `memory` is the server's."""
    ours, theirs = Identity.generate(), Identity.generate()
    client = engine(ours, config=config, expected=theirs.peer_id)
    both = Pair(client, lambda origin: engine(theirs, config=config, memory=memory, origin=origin), conditions)
    both.establish()
    assert both.server.remote_peer == ours.peer_id
    assert both.client.remote_peer == theirs.peer_id
    return both


def inject(both: Pair, frames: bytes, *, from_server: bool = False) -> list[MuxEvent]:
    """Frames of a hand-made packet come to one side, correctly encrypted by the other; what they lead to there."""
    sender, receiver = (both.server, both.client) if from_server else (both.client, both.server)
    assert isinstance(sender, AioquicEngine)
    quic = sender._quic
    header = bytes([0x41 | quic._cryptos[Epoch.ONE_RTT].key_phase << 2]) + quic._peer_cid.cid
    header += (quic._packet_number & 0xFFFF).to_bytes(2)
    packet = quic._cryptos[Epoch.ONE_RTT].encrypt_packet(header, frames + bytes(4), quic._packet_number)
    quic._packet_number += 1
    events = receiver.receive(packet, SERVER if from_server else CLIENT, both.now)
    (both.client_events if from_server else both.server_events).extend(events)
    return events
