"""All scenarios, in the order in which they run and are shown."""

from functools import partial

from interop.harness.scenario import Scenario, two_way
from interop.scenarios import connections, dht, gossip, mdns, measures, streams

KEY_TYPES = ("secp256k1", "ecdsa", "rsa")

CONNECTIONS = (
    Scenario("dial", "dial and be dialed, streams from both sides", connections.dial, everywhere=True),
    Scenario("simultaneous dial", "both dial at the same moment", connections.simultaneous, symmetric=True),
    Scenario("simultaneous dial, then traffic", "for 15 s", connections.both_connections, symmetric=True),
    Scenario("ping", "five pings from each side", two_way(connections.ping), everywhere=True),
    Scenario("identify", "protocols, addresses, observed address, agent, key", two_way(connections.identify), everywhere=True),
    Scenario("identify push", "a protocol served later is announced", connections.identify_push),
    Scenario("wrong peer id", "refused by the dialer, nothing left", connections.wrong_peer_id, everywhere=True),
    Scenario("unsupported protocol", "fails cleanly, connection stays", two_way(connections.unsupported_protocol)),
    Scenario("disconnect", "ends the streams, can be dialed again", two_way(connections.disconnect)),
    Scenario(
        "default limits",
        "bulk, 32 streams at once",
        connections.default_limits,
        dialer={"limits": "default"},
        listener={"limits": "default"},
    ),
    Scenario("stop", "the other side sees the end", connections.stopped),
)

EARLY_MUXER = (
    Scenario("early muxer off: dialer", "muxer by multistream", connections.late_muxer, dialer={"early_muxer": False}),
    Scenario("early muxer off: listener", "muxer by multistream", connections.late_muxer, listener={"early_muxer": False}),
    Scenario(
        "early muxer off: both",
        "muxer by multistream",
        connections.late_muxer,
        dialer={"early_muxer": False},
        listener={"early_muxer": False},
    ),
)

KEYS = tuple(
    Scenario(f"{kind} key: {role}", "handshake, ping, echo", connections.keys, **{role: {"key_type": kind}})  # type: ignore[arg-type]
    for kind in KEY_TYPES
    for role in ("dialer", "listener")
)

STREAMS = (
    Scenario("echo 1 B", "checksums compared", streams.echo(1), everywhere=True),
    Scenario("echo 1 MiB", "checksums compared", streams.echo(1 << 20), everywhere=True),
    Scenario("echo 64 MiB", "checksums compared", streams.echo(64 << 20), timeout=120),
    Scenario("half-close", "either side first, then three windows back", two_way(streams.half_close), everywhere=True),
    Scenario("reset", "by either side, with its code", two_way(streams.reset), everywhere=True),
    Scenario("reset of a blocked writer", "wakes it", two_way(streams.reset_blocked_writer)),
    Scenario("close with unread data", "20 in a row", two_way(streams.finished_streams)),
    Scenario("1,000 streams", "256 open at once", two_way(streams.thousand_streams), timeout=120),
    Scenario("both sides bulk", "echo and upload from both at once", streams.both_bulk, timeout=120),
    Scenario("slow reader", "stops its writer and nothing else", two_way(streams.slow_reader), timeout=120),
    Scenario("unread", "costs the stream, where no window stops its writer", two_way(streams.unread), muxer="/mplex/6.7.0"),
    Scenario("questions", "of a request-response library, in JSON", two_way(streams.questions), needs="json"),
    Scenario("large message", "larger than the window", two_way(streams.large_message)),
)

MEASURES = (
    Scenario("perf", "/perf/1.0.0 up, down, both", two_way(measures.perf), everywhere=True),
    Scenario("messages", "10,000 one way, counted", two_way(measures.messages)),
    Scenario("round trips", "on one stream and on new ones", two_way(measures.round_trips)),
    Scenario("dials", "20 in sequence", measures.dials),
    Scenario("idle connections", "20 at once", measures.idle),
)

DHT = (
    Scenario("dht: tables", "servers know and keep each other, nobody keeps clients", dht.tables, needs="dht"),
    Scenario("dht: find peer", "through a third node", dht.through_a_third(dht.find_peer, told=True), needs="dht"),
    Scenario("dht: own records", "public key and IPNS, through a third", dht.through_a_third(dht.own_records), needs="dht"),
    Scenario("dht: own records, RSA", "keys in records", dht.through_a_third(dht.own_records, key_type="rsa"), needs="dht"),
    Scenario("dht: values", "a private network's", dht.through_a_third(dht.numbered_values, **dht.PRIVATE), needs="dht"),
    Scenario("dht: providers", "through a third node", dht.through_a_third(dht.providers), needs="dht"),
    Scenario("dht: discovery", "advertise and find, through a third", dht.through_a_third(dht.discovery), needs="dht"),
    Scenario("dht: both networks", "the private half of two", dht.both_networks, needs="dht", ability="dht_dual"),
    Scenario("dht: mixed network", "5 and 10 nodes, publishers gone", dht.mixed, needs="dht"),
)

_gossip = partial(Scenario, needs="gossip", symmetric=True)

GOSSIP = (
    _gossip("gossip: versions", "each alone, through a node of all", gossip.versions),
    _gossip("gossip: unsigned", "and signed ones, which do not mix", gossip.unsigned),
    _gossip("gossip: large messages", "nearly 1 MiB, and 60 KB in numbers", gossip.large),
    _gossip("gossip: told", "all by IHAVE and IWANT", gossip.told),
    _gossip("gossip: unwanted", "IDONTWANT said and obeyed", gossip.unwanted),
    _gossip("gossip: forged", "wrong signatures are dropped and cost score", gossip.forged),
    _gossip(
        "gossip: reopened",
        "streams reset by either side",
        gossip.reopened,
        clash=("gossip_topics_end_with_streams", "gossip_topics_named_once"),
    ),
    _gossip(
        "gossip: met twice",
        "who dial each other at once",
        gossip.met_twice,
        clash=("gossip_one_stream_counts", "gossip_streams_share"),
    ),
    _gossip("gossip: peer exchange", "who is pruned meets others", gossip.exchange, ability="gossip_exchange"),
    _gossip("gossip: mesh", "5 and 10 nodes, 1,000 messages of each", gossip.mesh()),
    _gossip("gossip: three kinds", "js-libp2p, too", gossip.mesh(ids="content"), guest="js"),
    _gossip(
        "gossip: a minute",
        "three kinds, scores watched for 60 s",
        gossip.mesh(ids="content", seconds=60),
        guest="js",
        on_request=True,
        timeout=150,
    ),
)

_mdns = partial(Scenario, needs="mdns", private_network=True, symmetric=True)

MDNS = (
    _mdns("mdns", "nodes find each other, and nobody else", partial(mdns.by_service, mdns.LIBP2P)),
    _mdns(
        "mdns: another name",
        "of two parts, as the reference network's",
        partial(mdns.by_service, mdns.CORTEX),
        ability="mdns_names",
    ),
)

ALL = CONNECTIONS + EARLY_MUXER + KEYS + STREAMS + MEASURES + DHT + GOSSIP + MDNS
