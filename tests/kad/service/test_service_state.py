"""A DHT that has met others finds them again after a restart, from its state directory alone; see also test_keeping.

With a state directory there are sockets and threads: time passes at the speed of the wall clock then.
"""

from pathlib import Path

from cortexnet import Cid
from tests.kad.kad_nodes import node, simulated

CID = Cid.for_data(b"hello")


async def test_who_was_met_is_met_again_without_bootstrap_nodes(tmp_path: Path) -> None:
    network = simulated()
    async with node(network, "alice") as alice, node(network, "bob", bootstrap=alice.addresses) as bob:
        async with node(network, "keeper", state_directory=tmp_path) as kept:
            await kept.dial(alice.addresses)
            assert len(await kept.kad.closest_peers(CID)) == 2
        async with node(network, "keeper", state_directory=tmp_path) as kept:
            await kept.kad.closest_peers(CID)
            assert {alice.peer_id, bob.peer_id}.intersection(kept.peers)
