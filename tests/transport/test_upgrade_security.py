"""Upgrades over every choice of secure channels and of early muxers."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import product

import pytest

from cortexnet import multistream
from cortexnet.errors import ConnectionClosed, NegotiationFailed, PeerIdMismatch
from cortexnet.handshake import Handshake, Send
from cortexnet.identity.keys import PrivateKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.security.channels import secure_channels
from cortexnet.security.session import SecureChannel
from cortexnet.security.tls_session import TlsSession
from cortexnet.testing.handshakes import Outcome, run_over, run_pair
from cortexnet.transport.upgrade_steps import Upgraded, upgrade_inbound, upgrade_outbound

YAMUX = "/yamux/1.0.0"
IDS = {"noise": "/noise", "tls": "/tls/1.0.0"}
ANNA, BERT, EVE = (PrivateKey.generate() for _ in range(3))
CHOICES = (("noise",), ("tls",), ("noise", "tls"), ("tls", "noise"))


def id_of(key: PrivateKey) -> PeerId:
    return PeerId.from_public_key(key.public_key)


def channels(key: PrivateKey, names: Sequence[str], *, early: bool = True) -> list[SecureChannel]:
    return secure_channels(names, key, [YAMUX] if early else [], now=lambda: datetime.now(UTC))


def met(
    dialer: str, listener: Sequence[str], *, early: tuple[bool, bool] = (True, True), expected: PeerId | None = None
) -> tuple[Outcome[Upgraded], Outcome[Upgraded]]:
    return run_pair(
        upgrade_outbound(channels(ANNA, [dialer], early=early[0])[0], [YAMUX], expected),
        upgrade_inbound(channels(BERT, listener, early=early[1]), [YAMUX]),
    )


def upgraded(outcome: Outcome[Upgraded]) -> Upgraded:
    assert outcome.error is None
    assert outcome.result is not None
    return outcome.result


@pytest.mark.parametrize(("dialer", "listener"), [pair for pair in product(IDS, CHOICES) if pair[0] in pair[1]])
def test_what_the_dialer_proposes_is_taken_where_the_listener_has_it(dialer: str, listener: Sequence[str]) -> None:
    for outcome, key in zip(met(dialer, listener, expected=id_of(BERT)), (BERT, ANNA), strict=True):
        found = upgraded(outcome)
        assert (found.session.name, found.session.remote_peer, found.muxer) == (IDS[dialer], id_of(key), YAMUX)


@pytest.mark.parametrize(("dialer", "listener"), [("noise", ("tls",)), ("tls", ("noise",))])
def test_peers_without_a_channel_in_common_find_that_out(dialer: str, listener: Sequence[str]) -> None:
    one, other = met(dialer, listener)
    assert isinstance(one.error, NegotiationFailed)
    assert one.error.protocols == (IDS[dialer],)
    assert other.result is None


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("early", list(product((True, False), repeat=2)))
def test_the_muxer_is_settled_inside_of_the_handshake_or_behind_it(name: str, early: tuple[bool, bool]) -> None:
    for outcome in met(name, [name], early=early):
        found = upgraded(outcome)
        assert found.muxer == YAMUX
        assert found.session.muxer == (YAMUX if all(early) else None)


@pytest.mark.parametrize("name", IDS)
def test_the_proposal_and_the_first_message_travel_together(name: str) -> None:
    start = multistream.propose(IDS[name])
    one = run_over(upgrade_outbound(channels(ANNA, [name])[0], [YAMUX], None), [])
    assert one.sent.startswith(start)
    assert len(one.sent) > len(start) + 32


@pytest.mark.parametrize("name", IDS)
def test_somebody_else_than_was_expected_is_refused(name: str) -> None:
    one, other = met(name, [name], expected=id_of(EVE))
    assert isinstance(one.error, PeerIdMismatch)
    assert other.result is None


def test_a_peer_that_says_goodbye_instead_of_naming_its_muxer_has_closed_the_connection() -> None:
    def leaves() -> Handshake[None]:
        yield from multistream.be_selected(lambda name: name == IDS["tls"])
        session = yield from channels(BERT, ["tls"], early=False)[0].respond()
        assert isinstance(session, TlsSession)
        session._engine.shutdown()
        yield Send(session._engine.bio_read(1_000))

    one, _ = run_pair(upgrade_outbound(channels(ANNA, ["tls"])[0], [YAMUX], None), leaves())
    assert isinstance(one.error, ConnectionClosed)
    assert one.error.by == "remote"
