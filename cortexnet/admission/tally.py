"""What has happened to a node since its start, in plain integers: adding one costs a tenth of a metric object's `inc`."""

from typing import final

from cortexnet.errors import Denied, LimitExceeded

_MAX_REFUSALS = 256  # kinds of them: a setting each, and rules of access control


@final
class Tally:
    """Totals, which only grow; read them whenever you like, from any thread."""

    __slots__ = (
        "connections_ended",
        "connections_inbound",
        "connections_outbound",
        "dials",
        "dials_failed",
        "exchanges_answered",
        "exchanges_asked",
        "exchanges_failed",
        "exchanges_refused",
        "found_dials",
        "found_dials_failed",
        "handlers_failed",
        "handshakes_failed",
        "peers_denied",
        "peers_found",
        "peers_found_refused",
        "peers_refused",
        "refusals",
        "streams_inbound",
        "streams_outbound",
    )

    def __init__(self) -> None:
        self.connections_inbound = 0
        """Connections that peers made, from their upgrade on."""
        self.connections_outbound = 0
        """Connections that we made."""
        self.connections_ended = 0
        self.dials = 0
        """Of peers, however many addresses each tried."""
        self.dials_failed = 0
        self.handshakes_failed = 0
        """Accepted sockets that did not become connections."""
        self.handlers_failed = 0
        """Stream handlers that raised what is neither the peer's doing nor the network's."""
        self.peers_refused = 0
        """Times that a peer's score became so bad that its streams are refused."""
        self.peers_denied = 0
        """Times that one became so bad that the peer is denied."""
        self.streams_inbound = 0
        self.streams_outbound = 0
        self.peers_found = 0
        """Peers that discovery found, each once an hour at most."""
        self.peers_found_refused = 0
        """The same that were not taken: their source names too many."""
        self.found_dials = 0
        """Dials that discovery made of its own accord; they are among `dials`."""
        self.found_dials_failed = 0
        self.exchanges_asked = 0
        """Peers that were asked for others."""
        self.exchanges_failed = 0
        """Of these, those that gave no answer, or a wrong one."""
        self.exchanges_answered = 0
        """Questions of peers for others."""
        self.exchanges_refused = 0
        """The same that came too often."""
        self.refusals: dict[str, int] = {}
        """How often something was refused, by the setting that would allow it; "denied" for access control."""

    def refused(self, error: Exception) -> None:
        """Count a refusal."""
        if not isinstance(error, LimitExceeded):
            return
        setting = "denied" if isinstance(error, Denied) and error.setting == error.rule else error.setting
        if setting in self.refusals or len(self.refusals) < _MAX_REFUSALS:
            self.refusals[setting] = self.refusals.get(setting, 0) + 1

    def totals(self) -> dict[str, int]:
        """All but the refusals, by name."""
        return {
            "connections_opened_inbound": self.connections_inbound,
            "connections_opened_outbound": self.connections_outbound,
            "connections_ended": self.connections_ended,
            "dials": self.dials,
            "dials_failed": self.dials_failed,
            "handshakes_failed": self.handshakes_failed,
            "handlers_failed": self.handlers_failed,
            "peers_refused": self.peers_refused,
            "peers_denied": self.peers_denied,
            "streams_opened_inbound": self.streams_inbound,
            "streams_opened_outbound": self.streams_outbound,
            "peers_found": self.peers_found,
            "peers_found_refused": self.peers_found_refused,
            "found_dials": self.found_dials,
            "found_dials_failed": self.found_dials_failed,
            "exchanges_asked": self.exchanges_asked,
            "exchanges_failed": self.exchanges_failed,
            "exchanges_answered": self.exchanges_answered,
            "exchanges_refused": self.exchanges_refused,
        }
