"""Names in addresses, looked up: /dns, /dns4, /dns6 by the system's resolver, /dnsaddr by TXT records. A shell.

Spec: multiformats/multiaddr, "DNSADDR".
"""

import asyncio
import functools
import importlib
import socket
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import final
from weakref import WeakKeyDictionary

from cortexnet.admission.limits import Limits
from cortexnet.errors import CortexError, LimitExceeded, ProtocolViolation, ResolveFailed
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Component, Multiaddr

HostLookup = Callable[[str, socket.AddressFamily], Awaitable[list[str]]]
"""The IP addresses of a name, of both families for AF_UNSPEC. Raises ResolveFailed."""
TextLookup = Callable[[str], Awaitable[list[str]]]
"""The TXT records of a name, the strings of each joined. Raises ResolveFailed."""

Found = list[Multiaddr] | CortexError
"""The addresses that an address stands for, or why there are none."""
_Pending = tuple[Multiaddr, Multiaddr]  # the address that was asked for, and one it leads to
_FAMILIES = {"dns": socket.AF_UNSPEC, "dns4": socket.AF_INET, "dns6": socket.AF_INET6}
_NAMED = frozenset({*_FAMILIES, "dnsaddr"})
_RECORD_PREFIX = "dnsaddr="
_THREADS = 8  # look-ups of hosts at a time, of all nodes on a loop
_threads: WeakKeyDictionary[asyncio.AbstractEventLoop, ThreadPoolExecutor] = WeakKeyDictionary()  # they end with their loop


async def look_up_hosts(name: str, family: socket.AddressFamily) -> list[str]:
    """Ask the system, in one of a few threads of our own: names that peers announce may take as long as their servers like, and
    must not use up the threads that others have work for. Cancelled, it returns at once; its thread may be busy for some time.
    """
    if "\0" in name:
        raise ResolveFailed(name, "no name has a zero byte")  # the system would look up what stands before it
    loop = asyncio.get_running_loop()
    ask = functools.partial(socket.getaddrinfo, name, None, family, socket.SOCK_STREAM)
    try:
        found = await loop.run_in_executor(_threads_of(loop), ask)
    except socket.gaierror as error:
        reason = "the name does not exist" if error.errno == socket.EAI_NONAME else str(error.strerror)
        raise ResolveFailed(name, reason) from error
    except (OSError, ValueError) as error:  # ValueError: it can't be a name, as with an empty label
        raise ResolveFailed(name, f"the look-up failed: {error}") from error
    return [str(endpoint[0]) for _, _, _, _, endpoint in found]


def _threads_of(loop: asyncio.AbstractEventLoop) -> ThreadPoolExecutor:
    threads = _threads.get(loop)
    if threads is None:
        threads = _threads[loop] = ThreadPoolExecutor(_THREADS, thread_name_prefix="cortexnet names")
    return threads


async def look_up_texts(name: str) -> list[str]:
    """Ask the system's name servers, over TCP where an answer is too long for UDP. Records that are not UTF-8 are left out."""
    # The import takes 0.2 s, too long for the loop; and nobody pays for it who never dials a /dnsaddr.
    await asyncio.to_thread(importlib.import_module, "dns.asyncresolver")
    import dns.asyncresolver
    import dns.exception
    import dns.resolver

    try:
        answer = await dns.asyncresolver.resolve(name, "TXT", search=False)
    except dns.resolver.NXDOMAIN as error:
        raise ResolveFailed(name, "the name does not exist") from error
    except dns.resolver.NoAnswer:
        return []
    except dns.resolver.NoResolverConfiguration as error:
        raise ResolveFailed(name, "this system names no DNS server to ask") from error
    except dns.exception.Timeout as error:
        raise ResolveFailed(name, "no DNS server has answered in time") from error
    except (dns.exception.DNSException, OSError) as error:
        raise ResolveFailed(name, f"the look-up failed: {error}") from error
    texts: list[str] = []
    for record in answer:
        try:
            texts.append(b"".join(record.strings).decode())
        except UnicodeDecodeError:
            continue
    return texts


@final
class Resolver:
    """Turns addresses with names into addresses without. Holds nothing between two calls.

    Of one call `limits.dns_timeout` bounds the time, `limits.dns_results` the look-ups and what each address stands for,
    `limits.dns_depth` how far /dnsaddr records may lead to others.
    """

    def __init__(self, limits: Limits, *, hosts: HostLookup = look_up_hosts, texts: TextLookup = look_up_texts) -> None:
        self._hosts = hosts
        self._texts = texts
        self._depth_limit = limits.dns_depth
        self._result_limit = limits.dns_results
        self._timeout = limits.dns_timeout

    async def resolve(self, address: Multiaddr, expected: PeerId | None = None) -> list[Multiaddr]:
        """What `resolve_all` finds for one address. Raises what it found instead: ResolveFailed or LimitExceeded."""
        found = (await self.resolve_all([address], expected))[address]
        if isinstance(found, CortexError):
            raise found
        return found

    async def resolve_all(self, addresses: Iterable[Multiaddr], expected: PeerId | None = None) -> dict[Multiaddr, Found]:
        """Of each address what it stands for; itself where it has no name. Those of others than `expected` are left out.

        Where there is none, why: ResolveFailed or LimitExceeded; what fails besides a success is forgotten. Cancelled, it leaves
        nothing behind.
        """
        asked = list(dict.fromkeys(addresses))
        found: dict[Multiaddr, dict[Multiaddr, None]] = {address: {} for address in asked}
        errors: dict[Multiaddr, CortexError] = {}
        pending, level, budget = [(address, address) for address in asked], 0, self._result_limit
        deadline = asyncio.get_running_loop().time() + self._timeout
        while pending:
            named = self._sort(pending, expected, found)
            for asked_for, _ in named[budget:]:
                errors.setdefault(asked_for, _over("look-ups of one dial", self._result_limit, "dns_results"))
            outcomes = await self._look_up_all([address for _, address in named[:budget]], level, deadline)
            pending = []
            for (asked_for, _), outcome in zip(named, outcomes, strict=False):
                if isinstance(outcome, CortexError):
                    errors.setdefault(asked_for, outcome)
                else:
                    pending += [(asked_for, address) for address in outcome]
            budget -= len(outcomes)
            level += 1
        return {address: list(found[address]) or errors.get(address) or _leads_nowhere(address, expected) for address in asked}

    def _sort(
        self, pending: Iterable[_Pending], expected: PeerId | None, found: dict[Multiaddr, dict[Multiaddr, None]]
    ) -> list[_Pending]:
        """Put those without a name to what was found, and give those that have one and may still be of use."""
        named: list[_Pending] = []
        for asked_for, address in pending:
            of_one = found[asked_for]
            if len(of_one) >= self._result_limit:
                continue
            if _name_index(address) is not None:
                named.append((asked_for, address))
            elif _leads_to(address, expected):
                of_one[address] = None
        return [(asked_for, address) for asked_for, address in named if len(found[asked_for]) < self._result_limit]

    async def _look_up_all(self, addresses: list[Multiaddr], level: int, deadline: float) -> list[Found]:
        """What each of the addresses leads to with one look-up, all at the same time."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._look_up(address, level, deadline)) for address in addresses]
        return [task.result() for task in tasks]

    async def _look_up(self, address: Multiaddr, level: int, deadline: float) -> Found:
        index = _name_index(address)
        assert index is not None  # the caller has seen to it
        component = address.components[index]
        name = component.value or ""
        if component.protocol == "dnsaddr" and level >= self._depth_limit:
            return _over("/dnsaddr records that lead to others", self._depth_limit, "dns_depth")
        try:
            async with asyncio.timeout_at(deadline):
                if component.protocol == "dnsaddr":
                    return _with_records(address, index, await self._texts(f"_dnsaddr.{name}"), self._result_limit)
                return _with_hosts(address, index, await self._hosts(name, _FAMILIES[component.protocol]), self._result_limit)
        except TimeoutError:
            return ResolveFailed(name, f"was not looked up within {self._timeout:g} s")
        except ResolveFailed as error:
            return error


def _name_index(address: Multiaddr) -> int | None:
    """Where the first name stands among the components."""
    return next((index for index, part in enumerate(address.components) if part.protocol in _NAMED), None)


def _leads_to(address: Multiaddr, expected: PeerId | None) -> bool:
    _, named = address.split_peer()
    return expected is None or named is None or named == bytes(expected)


def _with_hosts(address: Multiaddr, index: int, hosts: Iterable[str], limit: int) -> list[Multiaddr]:
    """The address with each of the IPs in place of the name; what no multiaddr can say (`fe80::1%2`) is left out."""
    before, after = address.components[:index], address.components[index + 1 :]
    after = _with_server_name(after, address.components[index].value or "")
    found: list[Multiaddr] = []
    for host in islice(hosts, limit):
        try:
            ip = Component.of("ip6" if ":" in host else "ip4", host)
            found.append(Multiaddr.from_components((*before, ip, *after)))
        except ProtocolViolation:
            continue
    return found


def _with_server_name(components: tuple[Component, ...], name: str) -> tuple[Component, ...]:
    """Keep the name for the certificate of a secure WebSocket: /wss and /tls/ws become /tls/sni/NAME/ws."""
    for index, part in enumerate(components):
        names = [part.protocol, *(following.protocol for following in components[index + 1 : index + 2])]
        taken = 1 if names[0] == "wss" else 2 if names == ["tls", "ws"] else 0
        if taken:
            secure = (Component.of("tls"), Component.of("sni", name), Component.of("ws"))
            return (*components[:index], *secure, *components[index + taken :])
    return components


def _with_records(address: Multiaddr, index: int, texts: Iterable[str], limit: int) -> list[Multiaddr]:
    """The addresses that TXT records give in place of the name; they must end as the address asked for does."""
    before, after = address.components[:index], address.components[index + 1 :]
    found: list[Multiaddr] = []
    for text in texts:
        if not text.startswith(_RECORD_PREFIX) or len(found) == limit:
            continue
        try:
            record = Multiaddr.parse(text.removeprefix(_RECORD_PREFIX))
            if not after or record.components[-len(after) :] == after:
                found.append(Multiaddr.from_components((*before, *record.components)))
        except ProtocolViolation:
            continue
    return found


def _leads_nowhere(address: Multiaddr, expected: PeerId | None) -> ResolveFailed:
    return ResolveFailed(str(address), f"leads to no address{f' of {expected}' if expected else ''}")


def _over(scope: str, limit: int, setting: str) -> LimitExceeded:
    return LimitExceeded(scope, limit=limit, value=limit + 1, setting=f"limits.{setting}")
