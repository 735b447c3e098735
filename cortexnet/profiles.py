"""Sets of defaults for kinds of nodes. Each says what it changes, and why; all else is as in `Config()`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

KIB = 1024
MIB = 1024 * KIB

Value = bool | int | float | str
Changes = Mapping[str, Mapping[str, Value]]


@final
@dataclass(frozen=True, slots=True)
class Profile:
    """Defaults that differ, by table and name, and what for."""

    purpose: str
    changes: Changes


PROFILES: Mapping[str, Profile] = {
    "default": Profile("A public node with 512 MiB to spare: the defaults of each setting.", {}),
    "light": Profile(
        "A client on a small machine or a mobile network: it asks, serves little, and keeps few connections and little memory.",
        {
            "limits": {
                "connections": 64,  # gossip's meshes and a lookup's ten requests at once find room
                "connections_inbound": 16,  # peers of the local network; nobody else reaches it
                "connections_outbound": 48,
                "dials": 16,  # home routers forget mappings when many are made at once
                "memory": 64 * MIB,
                "peer_memory": 16 * MIB,  # a single download still runs at the speed of its line
                "outbox_memory": 16 * MIB,
                "stream_window": 4 * MIB,
                "peerstore_peers": 2_000,
                "peerstore_all_addresses": 10_000,
                "keep_alive_interval": 60.0,  # each ping wakes a radio
                "silence_timeout": 75.0,  # more than one such interval
            },
            "manager": {"idle_timeout": 120.0},  # each open connection costs a ping
            "kad": {"mode": "client"},
            "gossip": {"seen_limit": 20_000, "cache_bytes": 8 * MIB, "queue_bytes": 4 * MIB},
        },
    ),
    "server": Profile(
        "A node that others rely on, at a public address with 2 GiB and 8,192 descriptors to spare: a bootstrap node, say.",
        {
            "limits": {
                "connections": 2_000,  # an idle one takes some 40 KiB; three quarters of those inbound, 1,125, are kept
                "connections_inbound": 1_500,
                "connections_outbound": 500,
                "unauthenticated": 256,  # a crowd that comes back after an outage
                "rate_table_size": 65_536,
                "memory": 1024 * MIB,
                "outbox_memory": 256 * MIB,
                "streams_inbound": 16_384,
                "streams_negotiating": 8_192,
                "streams_inbound_per_protocol": 8_192,
                "peerstore_peers": 100_000,
                "peerstore_all_addresses": 400_000,
                "kept_peers": 256,
                "access_rules": 50_000,
            },
            "kad": {"mode": "server"},
        },
    ),
}
"""By name."""
