"""A stream about to be opened, to be entered or awaited. A shell."""

from collections.abc import Generator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, final

from cortexnet.errors import LocalError
from cortexnet.transport.stream import Stream

if TYPE_CHECKING:
    from cortexnet.host.host import Host
    from cortexnet.identity.peer_id import PeerId


@final
class StreamOpening:
    """A stream about to be opened: enter it, or await it. See `Node.stream`."""

    __slots__ = ("_confirm", "_host", "_peer", "_protocols", "_stream")

    def __init__(self, host: "Host", peer: "PeerId", protocols: Sequence[str], *, confirm: bool) -> None:
        self._host = host
        self._peer = peer
        self._protocols = protocols
        self._confirm = confirm
        self._stream: Stream | None = None

    def __await__(self) -> Generator[object, None, Stream]:
        return self._host.open_stream(self._peer, self._protocols, confirm=self._confirm).__await__()

    if not TYPE_CHECKING:  # type checkers say of each of these that there is none

        def __getattr__(self, name: str) -> NoReturn:
            """What a stream has is not here yet. Raises LocalError, which says how to get it."""
            if name.startswith("_") or name not in vars(Stream):
                raise AttributeError(f"a stream that is about to be opened has no {name!r}")
            raise LocalError(
                f"a stream has no `{name}` before it is open: `async with node.stream(…) as stream`, "
                "or `stream = await node.stream(…)`"
            )

    async def __aenter__(self) -> Stream:
        self._stream = await self
        return self._stream

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._stream is not None:
            await self._stream.__aexit__(kind, error, trace)
