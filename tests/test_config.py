"""Settings of a node: what is none is refused by its name, when it is made and not when it is used."""

import pickle

import pytest

from cortexnet.admission.limits import Limits
from cortexnet.config import MPLEX, Config, mplex_config, yamux_config
from cortexnet.discovery.config import DiscoveryConfig
from cortexnet.errors import ConfigInvalid
from cortexnet.mux import mplex_config as mplex_module
from cortexnet.reputation.config import ReputationConfig
from cortexnet.transport.memory import MemoryNetwork


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("transports", [], "needs at least one entry"),
        ("transports", ["tcp", "udp"], "'udp' is not one of tcp, ws, quic, memory"),
        ("transports", "tcp", "must be a list of texts, but is 'tcp'"),
        ("security", 5, "must be a list of texts, but is 5"),
        ("security", ["/tls/1.0.0"], "'/tls/1.0.0' is not one of noise, tls"),
        ("muxers", ["/mplex/1.0.0"], "'/mplex/1.0.0' is not one of /yamux/1.0.0, /mplex/6.7.0"),
        ("announce", "/ip4/192.0.2.1/tcp/1", "must be a list of texts"),
        ("announce", ["/ip4/192.0.2.1/tcp/1", "example.org"], "multiaddr 'example.org' does not begin"),
        ("agent_version", "half a \ud800", "must be a text"),
        ("agent_version", None, "must be a text, but is None"),
        ("protocol_version", b"bytes", "must be a text"),
    ],
)
def test_a_setting_that_is_none_is_refused_by_its_name(key: str, value: object, says: str) -> None:
    with pytest.raises(ConfigInvalid, match=says) as caught:
        Config(**{key: value})  # type: ignore[arg-type]
    assert caught.value.key == key
    assert str(caught.value).startswith(f"{key}: ")


def test_a_namespace_needs_the_dht() -> None:
    with pytest.raises(ConfigInvalid, match=r"^discovery.namespace: needs the DHT"):
        Config(kad=None, discovery=DiscoveryConfig(namespace="my-app"))
    assert Config(discovery=DiscoveryConfig(namespace="my-app")).kad is not None


def test_the_memory_transport_needs_its_network() -> None:
    with pytest.raises(ConfigInvalid, match="memory_network: is needed"):
        Config(transports=["memory"])
    assert Config(transports=["memory"], memory_network=MemoryNetwork()).transports == ("memory",)


def test_nobody_changes_a_list_behind_our_back() -> None:
    transports, announce = ["tcp"], ["/ip4/192.0.2.1/tcp/1"]
    config = Config(transports=transports, announce=announce)
    transports.append("udp")
    announce.append("nonsense")
    assert (config.transports, config.announce) == (("tcp",), ("/ip4/192.0.2.1/tcp/1",))


def test_equal_settings_are_equal_and_survive_a_pickle() -> None:
    config = Config(limits=Limits(dials=3), announce=["/ip4/192.0.2.1/tcp/1"])
    assert config == Config(limits=Limits(dials=3), announce=("/ip4/192.0.2.1/tcp/1",))
    assert hash(config) == hash(pickle.loads(pickle.dumps(config)))
    assert config != Config()


def test_yamux_has_the_bounds_of_the_node() -> None:
    yamux = yamux_config(
        Limits(
            stream_window=1 << 20,
            ping_queue=7,
            streams_inbound_per_connection=3,
            streams_inbound_extended=4,
            streams_inbound_control=2,
        )
    )
    assert (yamux.max_window, yamux.pong_backlog, yamux.max_inbound_streams) == (1 << 20, 7, 9)


def test_mplex_has_the_bounds_of_the_node() -> None:
    mplex = mplex_config(Limits(streams_outbound_per_connection=9, useless_frames=5, closed_stream_data=6, stream_linger=1.5))
    assert mplex.max_inbound_streams == yamux_config(Limits()).max_inbound_streams
    assert (mplex.max_outbound_streams, mplex.useless_frames, mplex.stray_data, mplex.linger) == (9, 5, 6, 1.5)


def test_mplex_is_spoken_only_where_it_is_asked_for() -> None:
    assert Config().muxers == ("/yamux/1.0.0",)
    assert Config(muxers=["/yamux/1.0.0", "/mplex/6.7.0"]).muxers == ("/yamux/1.0.0", "/mplex/6.7.0")


def test_mplex_is_named_as_its_module_names_it() -> None:
    assert MPLEX == mplex_module.NAME


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("mdns", True, "MdnsConfig or None"),
        ("kad", False, "KadConfig or None"),
        ("card", {"region": "u33d"}, "CardConfig"),
        ("limits", {"connections": 5}, "Limits"),
        ("discovery", None, "DiscoveryConfig"),
        ("gossip", ReputationConfig(), "GossipConfig or None"),
    ],
)
def test_what_is_no_such_part_is_refused(key: str, value: object, wanted: str) -> None:
    with pytest.raises(ConfigInvalid, match=rf"^{key}: must be {wanted}, but is ") as caught:
        Config(**{key: value})  # type: ignore[arg-type]
    assert caught.value.key == key
