"""What a scenario is: a name, what it shows, how both nodes start, and what then must happen."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import final

from interop.harness.meeting import Meeting, Side
from interop.harness.stack import Stack

StartOptions = Mapping[str, object]

_LACKING = {
    "dht_dual": "has no DHT of two halves",
    "gossip_exchange": "names no peers that can be dialed",
    "mdns_names": "has mDNS under one name alone",
}
"""What is said of a peer that denies an ability."""


@final
@dataclass(frozen=True, slots=True)
class Scenario:
    """`everywhere`: run on each stack both peers speak, not only on the first; `muxer`: on each with this one, and on no other.

    `private_network`: the peers run in a network namespace of their own. `needs`: a service that both peers must have, of those
    that `describe` names; `ability`: what neither may say there that it lacks; `clash`: what one may not say there of itself
    where the other says the second. `guest`: a peer of this kind takes part, in pairs of two others. `symmetric`: each side plays
    both parts, so of two peers it is run one way round. `on_request`: run only where it is named. `timeout` is in seconds, for
    the whole cell.
    """

    name: str
    about: str
    run: Callable[[Meeting], Awaitable[None]]
    dialer: StartOptions = field(default_factory=dict)
    listener: StartOptions = field(default_factory=dict)
    everywhere: bool = False
    muxer: str | None = None
    needs: str = ""
    ability: str = ""
    clash: tuple[str, str] = ("", "")
    private_network: bool = False
    guest: str = ""
    symmetric: bool = False
    on_request: bool = False
    timeout: float = 60.0

    def is_for_pair(self, dialer: str, listener: str) -> bool:
        """Whether it is run on this pair of kinds, by their names."""
        if self.guest and len({dialer, listener, self.guest}) < 3:
            return False
        return not self.symmetric or dialer <= listener

    def is_for(self, stack: Stack, *, is_first: bool) -> bool:
        """Whether it runs on the stack, which is the first both peers speak or a later one."""
        return is_first or self.everywhere if self.muxer is None else self.muxer == stack.muxer

    def refusal(self, dialer: Mapping[str, object], listener: Mapping[str, object]) -> str | None:
        """Why peers of these abilities cannot play it, or None."""
        for abilities, options, other in ((dialer, self.dialer, listener), (listener, self.listener, dialer)):
            services = abilities.get("services", ())
            if self.needs and not (isinstance(services, list) and self.needs in services):
                return f"{abilities.get('implementation')} has no {self.needs} here"
            if self.ability and abilities.get(self.ability) is False:
                return f"{abilities.get('implementation')} {_LACKING[self.ability]}"
            if abilities.get(self.clash[0]) and other.get(self.clash[1]):
                mine, others = (each.replace("_", " ") for each in self.clash)
                return f"{abilities.get('implementation')}: {mine}; {other.get('implementation')}: {others}"
            kinds = abilities.get("key_types", ())
            wanted = options.get("key_type", "ed25519")
            if isinstance(kinds, list) and wanted not in kinds:
                return f"{abilities.get('implementation')} has no {wanted} keys"
            known = other.get("peer_key_types", kinds)
            if isinstance(known, list) and wanted not in known:
                return f"{other.get('implementation')} knows no peers with {wanted} keys"
            if options.get("early_muxer") is False and abilities.get("early_muxer_off") is False:
                return f"{abilities.get('implementation')} cannot keep silent about muxers in the handshake"
        return None


def two_way(action: Callable[[Meeting, Side, Side], Awaitable[None]]) -> Callable[[Meeting], Awaitable[None]]:
    """A scenario that connects, then does the action from the dialer's side and again from the listener's."""

    async def run(meeting: Meeting) -> None:
        await meeting.connect()
        for near, far in meeting.both_ways():
            await action(meeting, near, far)

    return run
