"""What an upgrade says and reads: choose security, shake hands, choose the muxer. A core: generators over `handshake`.

Spec: libp2p specs, connections/, "Upgrading".
"""

from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass
from typing import TypeVar, final

from cortexnet import multistream
from cortexnet.handshake import ByteQueue, Driver, Handshake, Read, Send, Step
from cortexnet.identity.peer_id import PeerId
from cortexnet.security.session import SecureChannel, SecureSession

T = TypeVar("T")


@final
@dataclass(slots=True)
class Upgraded:
    """What the handshakes led to."""

    session: SecureSession
    muxer: str
    leftover: bytes
    """Plaintext that came behind the muxer's negotiation: the first bytes of the muxer."""


def upgrade_outbound(channel: SecureChannel, muxers: Collection[str], expected: PeerId | None) -> Handshake[Upgraded]:
    """The dialer's side; `muxers` in order of preference.

    The proposal of the channel and its first message travel together, a round trip less than to wait for the answer between
    them. So a peer that refuses it has bytes before it that it can't understand: another channel needs another socket.
    """
    yield Send(multistream.propose(channel.name))
    session = yield from _behind_answer(channel.initiate(expected), multistream.confirm(channel.name))
    return (yield from _with_muxer(session, multistream.select(list(muxers))))


def upgrade_inbound(channels: Sequence[SecureChannel], muxers: Collection[str]) -> Handshake[Upgraded]:
    """The listener's side."""
    names = [channel.name for channel in channels]
    name = yield from multistream.be_selected(lambda name: name in names)
    session = yield from next(channel for channel in channels if channel.name == name).respond()
    return (yield from _with_muxer(session, multistream.be_selected(lambda name: name in muxers)))


def _with_muxer(session: SecureSession, choice: Handshake[str]) -> Handshake[Upgraded]:
    """The muxer that the handshake has settled already, or the one that is chosen inside the channel."""
    if session.muxer is not None:
        choice.close()
        return Upgraded(session, session.muxer, b"")
    muxer, leftover = yield from _inside(session, choice)
    return Upgraded(session, muxer, leftover)


def _behind_answer(handshake: Handshake[T], answer: Handshake[None]) -> Handshake[T]:
    """Run a handshake whose first message may go out before the answer to its proposal is read."""
    step = next(handshake)
    while isinstance(step, Send):
        yield step
        step = next(handshake)
    yield from answer
    return (yield from _resume(handshake, step))


def _resume(handshake: Handshake[T], step: Step) -> Handshake[T]:
    """Go on with a handshake that has yielded `step` already."""
    try:
        while True:
            step = handshake.send((yield step))
    except StopIteration as stop:
        result: T = stop.value
        return result


def _inside(session: SecureSession, handshake: Handshake[T]) -> Generator[Step, bytes, tuple[T, bytes]]:
    """Run a handshake inside the secure channel; its result, and the plaintext it did not ask for."""
    plaintext = ByteQueue()
    driver = Driver(handshake, plaintext.take)
    while True:
        driver.advance()
        data = driver.data_to_send()
        if data:
            yield Send(bytes(session.encrypt([data])))
        if driver.error is not None:
            raise driver.error
        if driver.done:
            return driver.result, plaintext.take_all()
        header = yield Read(session.header_size)
        body = yield Read(session.body_size(header))
        for piece in session.decrypt(header + body)[0]:
            plaintext.append(piece)
        if session.error is not None:
            raise session.error
