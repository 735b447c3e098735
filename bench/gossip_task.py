"""What `python -m bench gossip` has every kind do: small meshes in one process, and one publisher."""

from typing import Final

NODES: Final = 10
"""In one process."""
DIALS: Final = 4
"""Others that each node dials: the next ones of a ring, so that everybody has eight neighbours."""
SIZE: Final = 1024
"""Bytes of a message."""
AT_ONCE: Final = 16
"""Messages that the publisher may be ahead of the slowest."""
WARM_UP: Final = 300
"""Messages before those that are timed."""
LEAST_MESH: Final = 4
"""Peers that each mesh must have before anything is published: js-libp2p is content with so many."""
