"""Many keys: calls by region against one lookup for each key, and the listing of a namespace."""

from typing import Final, TypeVar

from cortexnet.kad.dht_config import DhtConfig
from cortexnet.kad.engine.operation import Operation
from cortexnet.kad.messages import Type
from cortexnet.kad.records.namespaces import Name
from simulation.engine import Simulation
from simulation.kad.build import INTERNET, settled
from simulation.kad.peer import Peer
from simulation.kad.world import World
from simulation.report import Report, Settings

Result = TypeVar("Result")

KEYS: Final = 1_000
SAVED: Final = 20
"""Times fewer FIND_NODEs than by lookups."""
NAMESPACE_BITS: Final = 4
REQUESTS_PER_PEER: Final = 3


def regions(settings: Settings) -> Report:
    """1,000 keys provided, looked for, put and got by region, and by a lookup for each."""
    report = Report("regions", settings)
    simulation = Simulation(settings.seed)
    world = settled(World(simulation, INTERNET), settings.nodes)
    chance = simulation.chance("keys")
    keys = [b"\x12\x20" + chance.randbytes(32) for _ in range(settings.times(KEYS))]
    values = {b"/n/" + key: key for key in keys}
    provider, singly, seeker, writer, reader = chance.sample(world.servers(), 5)

    before = world.requests.get(Type.FIND_NODE, 0)
    for key in keys:
        world.finish(singly, world.core(singly).provide(key, simulation.now))
    lookups = world.requests[Type.FIND_NODE] - before
    report.add("FIND_NODEs of one provide for each key", lookups)

    def count(peer: Peer, operation: Operation[Result], name: str) -> Result:
        before = world.requests[Type.FIND_NODE]
        result = world.finish(peer, operation)
        report.add(f"{name}: FIND_NODEs", world.requests[Type.FIND_NODE] - before, goal=("<=", lookups / SAVED))
        return result

    told = count(provider, world.core(provider).provide_many(keys, simulation.now), "provide_many")
    report.add("provide_many: peers told of a key, least", min(told.values()), goal=(">=", 18))
    found = count(seeker, world.core(seeker).find_providers_many(keys, simulation.now), "find_providers_many")
    hits = sum(any(contact.peer_id == provider.peer_id for contact in found[key]) for key in keys)
    report.share("find_providers_many: provider found", hits, len(keys), 100.0)
    stored = count(writer, world.core(writer).put_many(values, simulation.now), "put_many")
    report.add("put_many: peers that took a value, least", min(stored.values()), goal=(">=", 18))
    got = count(reader, world.core(reader).get_many(values, simulation.now), "get_many")
    report.share("get_many: value got", sum(got.get(key) == value for key, value in values.items()), len(values), 100.0)
    return report.close(simulation)


def namespace(settings: Settings) -> Report:
    """1,000 keys of a namespace are listed completely, with few requests for each peer of its region."""
    report = Report("namespace", settings)
    simulation = Simulation(settings.seed)
    world = settled(World(simulation, INTERNET, DhtConfig(namespaces=True)), settings.nodes)
    names = [Name(NAMESPACE_BITS, b"library", b"book %d" % number) for number in range(settings.times(KEYS))]
    writer, reader = simulation.chance("roles").sample(world.servers(), 2)
    world.finish(writer, world.core(writer).put_many({name.key: b"x" for name in names}, simulation.now))
    before = sum(world.requests.values())
    listed = world.finish(reader, world.core(reader).list_namespace("library", NAMESPACE_BITS, simulation.now))
    region = names[0].region
    assert world.census is not None
    peers = len(world.census.within(region.first, region.length))
    report.share("keys listed", len({*listed} & {name.key for name in names}), len(names), 100.0)
    report.add("peers of the region", peers)
    report.add("requests", sum(world.requests.values()) - before, goal=("<=", REQUESTS_PER_PEER * peers))
    return report.close(simulation)
