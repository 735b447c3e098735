"""Names in addresses, looked up: /dns, /dns4, /dns6 by the system's resolver, /dnsaddr by TXT records. A shell.

Spec: multiformats/multiaddr, "DNSADDR".
"""

import asyncio
import importlib
import socket
from collections.abc import Awaitable, Callable, Iterable
from itertools import islice
from typing import final

from cortexnet.errors import CortexError, LimitExceeded, ProtocolViolation
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Component, Multiaddr
from cortexnet.swarm.limits import Limits

HostLookup = Callable[[str, socket.AddressFamily], Awaitable[list[str]]]
"""The IP addresses of a name, of both families for AF_UNSPEC. Raises ResolveFailed."""
TextLookup = Callable[[str], Awaitable[list[str]]]
"""The TXT records of a name, the strings of each joined. Raises ResolveFailed."""

_FAMILIES = {"dns": socket.AF_UNSPEC, "dns4": socket.AF_INET, "dns6": socket.AF_INET6}
_NAMED = frozenset({*_FAMILIES, "dnsaddr"})
_RECORD_PREFIX = "dnsaddr="
_NAME_LIMIT = 253


class ResolveFailed(CortexError):
    """A name led to no address. `name` is what was looked up."""

    def __init__(self, name: str, reason: str) -> None:
        shown = name if name.isprintable() and len(name) <= _NAME_LIMIT else ascii(name[:_NAME_LIMIT])
        super().__init__(f"{shown}: {reason}")
        self.name = name


async def look_up_hosts(name: str, family: socket.AddressFamily) -> list[str]:
    """Ask the system. Cancelled, it returns at once, though the system's thread may be busy with it for some seconds more."""
    if "\0" in name:
        raise ResolveFailed(name, "no name has a zero byte")  # the system would look up what stands before it
    try:
        found = await asyncio.get_running_loop().getaddrinfo(name, None, family=family, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        reason = "the name does not exist" if error.errno == socket.EAI_NONAME else str(error.strerror)
        raise ResolveFailed(name, reason) from error
    except (OSError, ValueError) as error:  # ValueError: it can't be a name, as with an empty label
        raise ResolveFailed(name, f"the look-up failed: {error}") from error
    return [str(endpoint[0]) for _, _, _, _, endpoint in found]


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

    `limits.dns_depth` bounds how far /dnsaddr records may lead to others; `limits.dns_results` both the addresses of one call and
    its look-ups.
    """

    def __init__(self, limits: Limits, *, hosts: HostLookup = look_up_hosts, texts: TextLookup = look_up_texts) -> None:
        self._hosts = hosts
        self._texts = texts
        self._depth_limit = limits.dns_depth
        self._result_limit = limits.dns_results

    async def resolve(self, address: Multiaddr, expected: PeerId | None = None) -> list[Multiaddr]:
        """The addresses that `address` stands for; itself where it has no name. Those of others than `expected` are left out.

        Raises ResolveFailed or LimitExceeded where none is found; what fails besides a success is forgotten. The deadline is the
        caller's: cancelled, it leaves nothing behind.
        """
        pending, level, budget = [address], 0, self._result_limit
        found: dict[Multiaddr, None] = {}
        errors: list[CortexError] = []
        while pending and len(found) < self._result_limit:
            named = [one for one in pending if _name_index(one) is not None]
            found |= dict.fromkeys(one for one in pending if _name_index(one) is None and _leads_to(one, expected))
            if len(named) > budget:
                errors.append(_over("look-ups of one name", self._result_limit, "dns_results"))
            outcomes = await self._look_up_all(named[:budget], level)
            budget -= len(outcomes)
            level += 1
            pending = []
            for outcome in outcomes:
                if isinstance(outcome, CortexError):
                    errors.append(outcome)
                else:
                    pending += outcome
        if not found:
            raise (
                errors[0]
                if errors
                else ResolveFailed(str(address), f"leads to no address{f' of {expected}' if expected else ''}")
            )
        return list(found)[: self._result_limit]

    async def _look_up_all(self, addresses: list[Multiaddr], level: int) -> list[list[Multiaddr] | CortexError]:
        """What each of the addresses leads to with one look-up, all at the same time."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._look_up(address, level)) for address in addresses]
        return [task.result() for task in tasks]

    async def _look_up(self, address: Multiaddr, level: int) -> list[Multiaddr] | CortexError:
        index = _name_index(address)
        assert index is not None  # the caller has seen to it
        component = address.components[index]
        name = component.value or ""
        try:
            if component.protocol != "dnsaddr":
                return _with_hosts(address, index, await self._hosts(name, _FAMILIES[component.protocol]), self._result_limit)
            if level >= self._depth_limit:
                return _over("/dnsaddr records that lead to others", self._depth_limit, "dns_depth")
            return _with_records(address, index, await self._texts(f"_dnsaddr.{name}"), self._result_limit)
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


def _over(scope: str, limit: int, setting: str) -> LimitExceeded:
    return LimitExceeded(scope, limit=limit, value=limit + 1, setting=f"limits.{setting}")
