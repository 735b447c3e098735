"""`node.kad`: the DHT as applications use it. A shell over one or two DHTs: the public network's, and the private one's.

What is asked for is asked for in both; what is stored goes to the public one, or where nobody is known there, to the private one.
The rules are those of go-libp2p-kad-dht's dual form.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from random import Random
from typing import TYPE_CHECKING, TypeVar, final

from cortexnet.errors import CortexError, LocalError, NoPeers, NotFound, NotRunning
from cortexnet.host.step_turns import step_turns
from cortexnet.identity.peer_id import AnyPeer, PeerId, peer_of
from cortexnet.kad.records.ipns import IpnsValidator
from cortexnet.kad.records.records import PublicKeyValidator, Validator, Validators
from cortexnet.kad.routing.contact import Contact
from cortexnet.kad.service.arguments import AnyCid, AnyKey, AnyValue, check_multihash, content_key, place_of, record_key, value_of
from cortexnet.kad.service.calls import Calls, OnProgress
from cortexnet.kad.service.filters import Everything, Filter, Private, Public, is_confined
from cortexnet.kad.service.half import Half
from cortexnet.kad.service.search import ProviderSearch
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.swarm.peerstore import TEMPORARY_TTL

if TYPE_CHECKING:
    from cortexnet.host.context import Context
    from cortexnet.host.peer_info import PeerInfo
    from cortexnet.identity.keys import PublicKey
    from cortexnet.kad.config import KadConfig
    from cortexnet.kad.dht import Dht
    from cortexnet.kad.engine.operation import Operation
    from cortexnet.multiformats.cid import Cid
    from cortexnet.transport.connection import Connection

log = logging.getLogger(__name__)

BOOTSTRAP_AT_ONCE = 2
"""Bootstrap nodes that are dialed where nobody is known; go-libp2p's value."""
MET_AT_ONCE = 4
"""Peers of an earlier run that are dialed there: half of them may be gone."""
PROVIDERS = 20
"""Providers that are looked for where nothing else is said: enough to dial some, and to lose some."""

R = TypeVar("R")


@final
class KadService:
    """The DHT of a node. Names may be texts: of peers, CIDs, and keys such as `/ipns/12D3KooW…`.

    An operation that finds nobody to ask waits `contact_timeout` seconds for a first peer, and raises NoPeers then. Each takes a
    minute at most besides. All raise NotRunning where the node closes meanwhile. Cancelled, nothing of an operation goes on, but
    what was stored stays stored. `on_progress` is called with how far it is: hops, peers asked, least distance.
    """

    def __init__(self, context: "Context", config: "KadConfig") -> None:
        self._context = context
        self._config = config
        self._random = Random()
        self._met = asyncio.Event()
        self._meeting: dict[Half, asyncio.Task[None]] = {}
        self._loopback: tuple[float, bool] | None = None
        built_in: dict[str, Validator] = {"pk": PublicKeyValidator(), "ipns": IpnsValidator(self._public_key)}
        validators = Validators(built_in | dict(config.validators))
        self.wan = Half(context, config, config.protocol, self._rules(Public()), validators)
        """The DHT of the public network; the only one where `config.lan` is off."""
        self.lan: Half | None = None
        """That of the private network."""
        if config.lan:
            private = Private(context.listen_addresses, self._keeps_loopback)
            self.lan = Half(context, config, config.lan_protocol, self._rules(private), validators)
        for half in self.halves:
            half.on_met = self._met.set
            half.on_wanted = partial(self._want_peers, half)

    def _rules(self, rules: Filter) -> Filter:
        return rules if self._config.filter_addresses else Everything()

    @property
    def halves(self) -> "list[Half]":
        """Both, or the one there is."""
        return [self.wan] if self.lan is None else [self.wan, self.lan]

    # --- life --------------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin the upkeep, and to answer where the mode says so."""
        context = self._context
        context.on_identified.append(self._identified)
        context.on_disconnected.append(self._disconnected)
        self._choose_modes()
        for half in self.halves:
            half.start()

    async def close(self) -> None:
        """End everything, also where the start was not reached. Cancelled: what is left ends with the node."""
        if self._identified in self._context.on_identified:
            self._context.on_identified.remove(self._identified)
            self._context.on_disconnected.remove(self._disconnected)
        for task in self._meeting.values():
            task.cancel()
        self._met.set()
        try:
            await self.wan.close()
        finally:
            if self.lan is not None:
                await self.lan.close()

    def _identified(self, connection: "Connection", info: "PeerInfo") -> None:
        self._loopback = None
        self._choose_modes()
        for half in self.halves:
            half.identified(connection, info)

    def _disconnected(self, connection: "Connection") -> None:
        for half in self.halves:
            half.disconnected(connection)

    def _choose_modes(self) -> None:
        """Whether others are answered; looked at again as peers come, for our addresses change."""
        if self.wan.is_closed:
            return
        mode, listening = self._config.mode, self._context.listen_addresses()
        is_open = not self._config.filter_addresses and bool(listening)
        self.wan.serve(mode == "server" or (mode == "auto" and (is_open or any(address.is_public for address in listening))))
        if self.lan is not None:
            self.lan.serve(mode == "server" or (mode == "auto" and bool(listening)))

    def _keeps_loopback(self) -> bool:
        if self._config.loopback is not None:
            return self._config.loopback
        now = asyncio.get_running_loop().time()
        if self._loopback is None or self._loopback[0] < now:  # asked for each contact that is heard of
            remotes = [connection.remote_address for connection in self._context.swarm.connections]
            self._loopback = now + 1.0, is_confined(self._context.listen_addresses(), remotes)
        return self._loopback[1]

    def _public_key(self, peer: "PeerId") -> "PublicKey | None":
        return self._context.peerstore.public_key(peer)

    # --- meeting somebody --------------------------------------------------------------------------------------------------

    def _want_peers(self, half: Half, is_empty: bool) -> None:
        """Nobody is known: dial bootstrap nodes, and some of those an earlier run has met."""
        is_over = self._context.scope.is_closed or half.is_closed
        if not is_empty or is_over or (half in self._meeting and not self._meeting[half].done()):
            return
        addresses = [Multiaddr.parse(text) for text in self._config.bootstrap] if half is self.wan else []
        bootstrap = self._random.sample(addresses, min(BOOTSTRAP_AT_ONCE, len(addresses)))
        met = self._random.sample(half.known, min(MET_AT_ONCE, len(half.known)))
        if bootstrap or met:
            self._meeting[half] = self._context.scope.spawn(self._meet(bootstrap, met), name="meet peers of the DHT")

    async def _meet(self, bootstrap: Sequence[Multiaddr], met: Sequence[Contact]) -> None:
        async with asyncio.TaskGroup() as dials:  # none of them raises
            for address in bootstrap:
                dials.create_task(self._dial_bootstrap(address))
            for contact in met:
                dials.create_task(self._dial_met(contact))

    async def _dial_bootstrap(self, address: Multiaddr) -> None:
        _, named = address.split_peer()
        try:
            if named is None:
                await self._context.swarm.dial_unknown(address)
            elif (peer := PeerId.from_bytes(named)) != self._context.identity.peer_id:
                await self._context.swarm.dial(peer, [address])
        except CortexError as error:
            log.warning("bootstrap node %s of the DHT: %s", address, error)

    async def _dial_met(self, contact: Contact) -> None:
        try:
            await self._context.swarm.dial(self._remembered(contact).peer_id)
        except CortexError as error:
            log.debug("%s of an earlier run: %s", contact.peer_id, error)

    async def _reachable(self) -> "list[Half]":
        """The halves in which somebody can be asked. Raises NoPeers, NotRunning. Cancelled: nothing changes."""
        try:
            async with asyncio.timeout(self._config.contact_timeout):
                while not (found := [half for half in self.halves if not half.is_empty]):
                    if self.wan.is_closed:
                        raise NotRunning("the node is closed")
                    self._met.clear()
                    await self._met.wait()
        except TimeoutError:
            raise NoPeers(self._nobody()) from None
        return found

    def _nobody(self) -> str:
        protocols = " or ".join(half.protocol for half in self.halves)
        connected = len(self._context.swarm.peers)
        if not connected:
            return f"no peer that serves {protocols} is known: name one as bootstrap peer, or dial it"
        return f"of {connected} connected peers none serves {protocols} as seen from here: connect to one that does"

    async def _run_on_one(self, start: "Callable[[Dht, float], Operation[R]]", on_progress: OnProgress | None) -> R:
        """In the public half, or where nobody is known there, in the private one."""
        halves = await self._reachable()
        (result,) = await Calls(halves[:1], start, on_progress).results()
        return result

    async def _run_on_all(self, start: "Callable[[Dht, float], Operation[R]]", on_progress: OnProgress | None = None) -> list[R]:
        return await Calls(await self._reachable(), start, on_progress).results()

    # --- peers -------------------------------------------------------------------------------------------------------------

    async def find_peer(self, peer: AnyPeer, *, on_progress: OnProgress | None = None) -> Contact:
        """Where a peer is: as it told us where it is connected, else as other peers say.

        Its addresses are known to the node then: `node.dial(peer)` tries them. Raises NotFound, NoPeers.
        """
        peer_id, peerstore = peer_of(peer), self._context.peerstore
        if peerstore.is_connected(peer_id):
            addresses = peerstore.addresses(peer_id, self._now())
            if addresses:
                return Contact(peer_id, addresses)
        calls = Calls(await self._reachable(), lambda dht, now: dht.find_peer(peer_id, now), on_progress)
        try:
            while True:
                found = [contact for contact in calls.finished() if contact is not None and contact.addresses]
                if found:
                    return self._remembered(found[0])
                if calls.is_done:
                    message = f"no peer that was asked knows {peer_id}: it is gone, or in another DHT; an address can be dialed"
                    raise NotFound(message, asked=calls.progress.asked)
                await calls.step()
        finally:
            calls.close()

    async def closest_peers(self, key: "AnyKey | PeerId | Cid", *, on_progress: OnProgress | None = None) -> list[Contact]:
        """The peers nearest to where something lies, at most k, the nearest first. Raises LocalError, NoPeers."""
        place = place_of(key)
        return await self._run_on_one(lambda dht, now: dht.closest(place, now), on_progress)

    def _remembered(self, contact: Contact) -> Contact:
        if not self._context.peerstore.is_connected(contact.peer_id):
            self._context.peerstore.add_addresses(contact.peer_id, contact.addresses, TEMPORARY_TTL, self._now())
        return contact

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    # --- values ------------------------------------------------------------------------------------------------------------

    async def put_value(self, key: AnyKey, value: AnyValue, *, on_progress: OnProgress | None = None) -> int:
        """Store a value with the peers nearest to its key, and again each 22 h as long as this node runs; how many took it.

        Raises InvalidRecord where it is not valid, or this node knows a better one; LocalError where no value of its namespace is
        taken, and for what is no key or no bytes; NoPeers, also where none of them took it.
        """
        name, data = record_key(key), value_of(value)
        stored = await self._run_on_one(lambda dht, now: dht.put_value(name, data, now), on_progress)
        return _some(stored, "the value")

    def forget_value(self, key: AnyKey) -> None:
        """Store a value no more; who has it keeps it for 48 h."""
        name = record_key(key)
        for half in self.halves:
            half.dht.forget_value(name)

    async def get_value(self, key: AnyKey, *, quorum: int = 0, on_progress: OnProgress | None = None) -> bytes:
        """The best value of a key. After more than `quorum` answers that have one no more are waited for; 0: all the nearest.

        Raises NotFound, NoPeers; LocalError where no value of its namespace is taken.
        """
        name = record_key(key)
        calls = Calls(await self._reachable(), lambda dht, now: dht.get_value(name, now, quorum=quorum), on_progress)
        for value in await calls.results():
            if value is not None:
                return value
        message = "nobody who was asked has a valid value of this key: it was stored in another DHT, or not in the last 48 h"
        raise NotFound(message, asked=calls.progress.asked)

    async def put_many(self, values: Mapping[AnyKey, AnyValue], *, on_progress: OnProgress | None = None) -> dict[AnyKey, int]:
        """`put_value` of many keys, region by region: a small share of the requests. How many peers took each. Raises alike."""
        if not isinstance(values, Mapping):
            raise LocalError(f"put_many takes a value for each key, not a {type(values).__name__}")
        names = {key: record_key(key) for key in values}
        by_name = {name: value_of(values[key]) for key, name in names.items()}
        stored = await self._run_on_one(lambda dht, now: dht.put_many(by_name, now), on_progress)
        return {key: stored.get(name, 0) for key, name in names.items()}

    async def get_many(self, keys: Iterable[AnyKey], *, on_progress: OnProgress | None = None) -> dict[AnyKey, bytes]:
        """`get_value` of many keys, region by region; those without a value are left out. Raises NoPeers, LocalError."""
        names = {key: record_key(key) for key in keys}
        wanted = list(dict.fromkeys(names.values()))
        found: dict[bytes, bytes] = {}
        for part in await self._run_on_all(lambda dht, now: dht.get_many(wanted, now), on_progress):
            found = {**part, **found}
        return {key: found[name] for key, name in names.items() if name in found}

    async def list_namespace(self, namespace: str, bits: int = 0, *, on_progress: OnProgress | None = None) -> list[bytes]:
        """The keys of all values of a namespace whose names have `bits` prefix bits: `/cx/<bits>/<namespace>/…`.

        Raises NoPeers, LocalError where `dht.namespaces` is off.
        """
        if not self._config.dht.namespaces:
            raise LocalError("namespaces are off: set KadConfig.dht.namespaces, on a prefix of your own")
        parts = await self._run_on_all(lambda dht, now: dht.list_namespace(namespace, bits, now), on_progress)
        return list(dict.fromkeys([key for part in parts for key in part]))

    # --- content -----------------------------------------------------------------------------------------------------------

    async def provide(self, cid: AnyCid, *, on_progress: OnProgress | None = None) -> int:
        """Tell the peers nearest to some content that this node has it, and again each 22 h until `stop_providing`; how many.

        Raises LocalError for what is no CID, and where this node listens on no address that could be told; NoPeers.
        """
        key = content_key(cid)
        told = await self._provide(lambda dht, now: dht.provide(key, now), on_progress)
        return _some(told, "the provider record")

    async def provide_many(self, cids: Iterable[AnyCid], *, on_progress: OnProgress | None = None) -> dict[AnyCid, int]:
        """`provide` of many, region by region: a small share of the requests. How many peers were told of each."""
        keys = {cid: content_key(cid) for cid in cids}
        wanted = list(dict.fromkeys(keys.values()))
        told = await self._provide(lambda dht, now: dht.provide_many(wanted, now), on_progress)
        return {cid: told.get(key, 0) for cid, key in keys.items()}

    def stop_providing(self, cid: AnyCid) -> None:
        """Tell nobody any more that this node has it; who was told keeps that for 48 h."""
        key = content_key(cid)
        for half in self.halves:
            half.dht.stop_providing(key)

    def name_here(self, key: bytes) -> None:
        """Name this node as a provider of a multihash to whoever asks it; others are told by `announce`. Raises LocalError."""
        check_multihash(key)
        for half in self.halves:
            half.dht.provide_here(key, self._now())

    async def announce(self, key: bytes) -> int:
        """`provide` of a multihash, once. Raises as `provide`; whoever asks this node hears it all the same."""
        self.name_here(key)
        return _some(await self._provide(lambda dht, now: dht.provide(key, now, reprovide=False), None), "the provider record")

    async def _provide(self, start: "Callable[[Dht, float], Operation[R]]", on_progress: OnProgress | None) -> R:
        halves = await self._reachable()
        nameable = [half for half in halves if half.own_contact().addresses]
        (told,) = await Calls((nameable or halves)[:1], start, on_progress).results()
        return told

    def find_providers(
        self, cid: AnyCid, limit: int | None = PROVIDERS, *, on_progress: OnProgress | None = None
    ) -> ProviderSearch:
        """Who has some content: `async for provider in node.kad.find_providers(cid)`, as they are found, at most `limit`.

        Their addresses are known to the node then. Raises LocalError; the first step NoPeers where nobody can be asked.
        """
        if limit is not None and limit < 1:
            raise LocalError(f"a limit of {limit} providers finds none; None finds all")
        return self.search_providers(content_key(cid), limit, on_progress)

    def search_providers(self, key: bytes, limit: int | None, on_progress: OnProgress | None = None) -> ProviderSearch:
        """`find_providers` of a multihash."""
        check_multihash(key)

        async def begin() -> Calls[list[Contact]]:
            halves = await self._reachable()
            return Calls(halves, lambda dht, now: dht.find_providers(key, now, limit=limit or 0), on_progress)

        return ProviderSearch(begin, self._remembered, limit)

    async def find_providers_many(
        self, cids: Iterable[AnyCid], *, on_progress: OnProgress | None = None
    ) -> dict[AnyCid, list[Contact]]:
        """`find_providers` of many, region by region; every CID is in the result. Raises NoPeers."""
        keys = {cid: content_key(cid) for cid in cids}
        wanted = list(dict.fromkeys(keys.values()))
        found: dict[bytes, dict[PeerId, Contact]] = {key: {} for key in wanted}
        turns = step_turns()
        for part in await self._run_on_all(lambda dht, now: dht.find_providers_many(wanted, now), on_progress):
            for key, contacts in part.items():
                for contact in contacts:
                    known = found[key].get(contact.peer_id)
                    if known is None or not known.addresses:
                        found[key][contact.peer_id] = await turns.run(partial(self._remembered, contact), of=None)
        return {cid: list(found[key].values()) for cid, key in keys.items()}


def _some(count: int, what: str) -> int:
    if not count:
        raise NoPeers(f"none of the nearest peers took {what}: they could not be reached, or refused it")
    return count
