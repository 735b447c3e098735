"""What the commands of `cortexnet dht` have in common: a node that joins a DHT, and the line that says how far a lookup is."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

import click

from cortexnet.admission.limits import Limits
from cortexnet.cli.failures import lines_of
from cortexnet.cli.options import parse_address, with_dialing, with_output
from cortexnet.cli.output import Output
from cortexnet.cli.text import duration, escaped
from cortexnet.config import Config
from cortexnet.errors import CortexError, DialFailed, InvalidRecord, LocalError
from cortexnet.identity.identity import Identity
from cortexnet.kad.config import AMINO, BUILT_IN, KadConfig
from cortexnet.kad.engine.operation import Progress
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.node import Node

_QUIET = 5.0  # seconds between two lines about how far it is, where they stay


@final
@dataclass(frozen=True, slots=True)
class Network:
    """Which DHT is meant, and how it is met."""

    peers: tuple[Multiaddr, ...]
    prefix: str
    is_amino: bool
    identity_file: str | None
    timeout: float

    @property
    def is_known(self) -> bool:
        """Whether there is anybody to ask."""
        return bool(self.peers) or self.is_amino


def with_network(command: Callable[..., None]) -> Callable[..., None]:
    """Give the command an Output and a Network as its first arguments, made of options; somebody to ask must be named."""

    @with_any_network
    @functools.wraps(command)
    def wrapper(output: Output, network: Network, *args: Any, **kwargs: Any) -> None:
        if not network.is_known:
            raise click.UsageError("name somebody to ask: --peer ADDRESS, or --amino for the public network")
        command(output, network, *args, **kwargs)

    return wrapper


def with_any_network(command: Callable[..., None]) -> Callable[..., None]:
    """The same where there may be nobody to ask."""

    @with_output
    @with_dialing
    @click.option("--amino", is_flag=True, help="The public network of IPFS, met through its own bootstrap nodes.")
    @click.option("--prefix", default=AMINO, show_default=True, metavar="PREFIX", help="What the DHT's protocol ids begin with.")
    @click.option("--peer", "peers", multiple=True, metavar="ADDRESS", callback=_to_addresses, help="Whom to ask first.")
    @functools.wraps(command)
    def wrapper(
        output: Output, *args: Any, peers: list[Multiaddr], prefix: str, amino: bool, identity_file: str | None, timeout: float,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        if amino and prefix != AMINO:
            raise click.UsageError(f"--amino is the network of the prefix {AMINO}: leave one of the two out")
        command(output, Network(tuple(peers), prefix, amino, identity_file, timeout), *args, **kwargs)

    return wrapper


def _to_addresses(ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> list[Multiaddr]:
    try:
        return [parse_address(value) for value in values]
    except LocalError as error:
        raise click.BadParameter(escaped(str(error)), ctx, param) from None


@final
class AnyValue:
    """Takes every value: in a network of one's own its nodes know what is good, and this command does not."""

    def validate(self, key: bytes, value: bytes, unix_now: float) -> None:
        """All are."""
        if not value:
            raise InvalidRecord("an empty value")

    def select(self, key: bytes, values: Sequence[bytes]) -> int:
        """The first."""
        return 0


def network_config(network: Network, key: str = "", *, mode: Any = "client") -> KadConfig:
    """The DHT that is meant. In a network of one's own values of the key's namespace are taken unseen."""
    if network.is_amino:
        return KadConfig.amino()
    namespace = key[1:].partition("/")[0] if key.startswith("/") else ""
    is_own = network.prefix != AMINO and namespace and namespace not in BUILT_IN
    return KadConfig(
        prefix=network.prefix,
        validators={namespace: AnyValue()} if is_own else {},
        filter_addresses=False,  # whoever was named is to be asked, wherever it is
        mode=mode,
    )


@contextlib.asynccontextmanager
async def joined(output: Output, network: Network, kad: KadConfig, listen: Sequence[str] = ()) -> AsyncIterator[Node]:
    """A node that has met at least one of those it was told to meet. Raises DialFailed, StorageFailed."""
    timeout = network.timeout
    identity = None if network.identity_file is None else Identity.load(network.identity_file)
    limits = Limits(dial_timeout=timeout, dial_timeout_local=timeout, identify_timeout=timeout)
    async with Node(identity, listen=listen, config=Config(limits=limits, kad=kad)) as node:
        await _meet(output, node, network.peers)
        yield node


async def _meet(output: Output, node: Node, peers: Sequence[Multiaddr]) -> None:
    failures: list[CortexError] = []
    for address in peers:
        try:
            async with output.waiting(f"connecting to {address}"):
                await node.identify(await node.dial(address))
        except LocalError:
            raise
        except CortexError as error:
            failures.append(error)
    if failures and len(failures) == len(peers):
        if len(failures) > 1:
            attempts = [attempt for error in failures for attempt in _attempts(error)]
            raise DialFailed("none of these peers can be reached:", attempts)
        raise failures[0]
    for failure in failures:
        output.note("Warning: " + "\n".join(lines_of(failure)))


def _attempts(error: CortexError) -> Sequence[tuple[str, BaseException]]:
    return error.attempts if isinstance(error, DialFailed) else [("a peer", error)]


@final
class Watcher:
    """Shows how far a lookup is: on a terminal a line that changes, elsewhere one now and then, with --json each step."""

    def __init__(self, output: Output, what: str) -> None:
        self._output = output
        self._what = what
        self._loop = asyncio.get_running_loop()
        self._begun = self._last = self._loop.time()
        self._progress = Progress()

    def __call__(self, progress: Progress) -> None:
        """It has come further."""
        if progress == self._progress:
            return
        self._progress = progress
        if self._output.as_json:
            self._output.say_event("progress", **self._members())
        elif self._output.has_terminal:
            self._output.status(f"{self._what}: {self._words()}")
        elif self._loop.time() - self._last > _QUIET:
            self._last = self._loop.time()
            self._output.note(f"{self._what}: {self._words()}")

    @property
    def asked(self) -> int:
        """How many peers were asked."""
        return self._progress.asked

    def _words(self) -> str:
        progress = self._progress
        words = f"{_count(progress.hops, 'hop')}, {_count(progress.asked, 'peer')} asked, {progress.answered} answered"
        return words if progress.best is None else f"{words}, nearest at 2^{progress.best.bit_length()}"

    def _members(self) -> dict[str, Any]:
        progress = self._progress
        return {
            "hops": progress.hops,
            "asked": progress.asked,
            "answered": progress.answered,
            "failed": progress.failed,
            "distance_bits": None if progress.best is None else progress.best.bit_length(),
        }

    def done(self) -> None:
        """It is over: say what it took."""
        seconds = self._loop.time() - self._begun
        self._output.clear_status()
        if self._output.as_json:
            self._output.say_event("done", seconds=seconds, **self._members())
        else:
            self._output.note(f"{self._words()}, in {duration(seconds)}")


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
