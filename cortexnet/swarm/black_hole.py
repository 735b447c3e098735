"""Networks that swallow UDP or IPv6: there is no answer, not even a refusal, and every dial that tries costs its whole delay.

So successes are counted, of UDP and of IPv6 apart, and where fewer than 5 of the last 100 dials came through, addresses of that
kind are left out; every 100th time they are tried all the same, and one success ends it. Public addresses only: what reaches the
other end of a room says nothing about the way out.

Spec: go-libp2p, `BlackHoleSuccessCounter`, whose numbers these are.
"""

from collections import deque
from collections.abc import Iterable
from typing import Literal, final

from cortexnet.multiformats.multiaddr import Multiaddr

WINDOW = 100
"""Dials that are looked back on; nothing is left out before there were so many. Also: of how many requests one is tried."""
MIN_SUCCESSES = 5
"""Of those dials. Low, because a dial that is given up since another was faster counts as failed."""

State = Literal["probing", "allowed", "blocked"]


@final
class SuccessCounter:
    """How dials of one kind went lately."""

    def __init__(self, name: str, advice: str) -> None:
        self.name = name
        self.advice = advice
        """What there is to do while it is blocked."""
        self.state: State = "probing"
        """Not known yet; or good; or bad."""
        self._requests = 0
        self._results: deque[bool] = deque(maxlen=WINDOW)

    def request(self) -> State:
        """Somebody wants to dial addresses of this kind: what is to be done about them. Blocked ones are probed now and then."""
        if self.state != "blocked":
            return self.state
        self._requests += 1
        return self.state if self._requests % WINDOW else "probing"

    def on_result(self, *, success: bool) -> None:
        """A dial of this kind has ended."""
        if success and self.state == "blocked":  # there is a way: it is not a matter of more or less
            self._requests = 0
            self._results.clear()
        else:
            self._results.append(success)
        if len(self._results) < WINDOW:
            self.state = "probing"
        else:
            self.state = "allowed" if sum(self._results) >= MIN_SUCCESSES else "blocked"

    def objection(self) -> str:
        """Why an address is not dialed, and what to do."""
        requests = WINDOW - self._requests % WINDOW
        return (
            f"is left out: of the last {WINDOW} dials over {self.name}, {sum(self._results)} succeeded, so this network seems to"
            f" block it; {self.advice}, or try later: one dial in {WINDOW} still probes, the next in {requests}"
        )


@final
class BlackHoles:
    """What is known of this node's way out over UDP and over IPv6."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """The network is another one: nothing is known of it."""
        self.udp = SuccessCounter("UDP", "use a TCP address")
        self.ip6 = SuccessCounter("IPv6", "use an IPv4 address")

    def objections(self, addresses: Iterable[Multiaddr]) -> dict[Multiaddr, str]:
        """Which of the addresses of one dial are not to be tried, and why. To be asked once a dial, for it counts.

        While one kind is probed all its addresses are tried, whatever the other kind says: else nobody would ever know.
        """
        if "blocked" not in (self.udp.state, self.ip6.state):
            return {}
        public = [(address, address.protocols) for address in addresses if address.is_public]
        udp = self.udp.request() if any("udp" in kinds for _, kinds in public) else "allowed"
        ip6 = self.ip6.request() if any("ip6" in kinds for _, kinds in public) else "allowed"
        objections: dict[Multiaddr, str] = {}
        for address, kinds in public:
            is_udp, is_ip6 = "udp" in kinds, "ip6" in kinds
            if (is_udp and udp == "probing") or (is_ip6 and ip6 == "probing"):
                continue
            if is_udp and udp == "blocked":
                objections[address] = self.udp.objection()
            elif is_ip6 and ip6 == "blocked":
                objections[address] = self.ip6.objection()
        return objections

    def on_result(self, address: Multiaddr, *, success: bool) -> None:
        """An attempt has ended, or was given up because another one was faster (which is no success)."""
        if not address.is_public:
            return
        kinds = address.protocols
        if "udp" in kinds:
            self.udp.on_result(success=success)
        if "ip6" in kinds:
            self.ip6.on_result(success=success)
