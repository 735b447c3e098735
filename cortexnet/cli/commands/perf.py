"""`cortexnet perf`: how fast data goes to a peer and back."""

import asyncio
from typing import final

import click

from cortexnet.cli import lifecycle
from cortexnet.cli.client import dialed, say_connected
from cortexnet.cli.options import address_argument, to_size, with_dialing, with_output
from cortexnet.cli.output import Output
from cortexnet.cli.text import duration, rate, size
from cortexnet.host.perf import PerfResult
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.transport.scope import Scope

_REDRAW_INTERVAL = 0.2  # seconds between two states of the line on a terminal
_LINE_INTERVAL = 1.0  # seconds between two lines, or events, elsewhere


@click.command()
@address_argument
@click.option("--upload", default="16MiB", show_default=True, callback=to_size, metavar="SIZE", help="How much to send.")
@click.option("--download", default="16MiB", show_default=True, callback=to_size, metavar="SIZE", help="How much to fetch.")
@with_dialing
@with_output
def command(output: Output, address: Multiaddr, upload: int, download: int, identity_file: str | None, timeout: float) -> None:
    """Measure how fast data goes to a peer and back.

    The peer has to serve /perf/1.0.0: one of ours does when it was started by `cortexnet run --perf`. Sizes are numbers of bytes,
    or such as 64k, 10MiB (powers of 1024), 10MB (powers of 1000).

    \b
    --json prints events "connected" (as ping does), each second "progress"
    (sent, received, seconds), at the end "result" (uploaded, downloaded,
    upload_seconds, download_seconds); or "error".
    """
    lifecycle.run(lambda: _perf(output, address, upload, download, identity_file, timeout))


async def _perf(
    output: Output, address: Multiaddr, upload: int, download: int, identity_file: str | None, timeout: float
) -> None:
    async with dialed(output, address, identity_file, timeout) as there:
        say_connected(output, there)
        progress = Progress(output, upload, download, there.connection.loop.time())
        scope = Scope()
        scope.spawn(progress.run(), name="progress")
        try:
            result = await there.node.perf(there.peer, upload=upload, download=download, progress=progress.update)
        finally:
            await scope.close()
            output.clear_status()
        _say_result(output, result)


def _say_result(output: Output, result: PerfResult) -> None:
    lines = [
        f"{name} {size(count)} in {duration(seconds)}: {rate(count, seconds)}"
        for name, count, seconds in (
            ("upload  ", result.uploaded, result.upload_seconds),
            ("download", result.downloaded, result.download_seconds),
        )
        if count
    ]
    output.say(
        "\n".join(lines),
        "result",
        uploaded=result.uploaded,
        downloaded=result.downloaded,
        upload_seconds=result.upload_seconds,
        download_seconds=result.download_seconds,
    )


@final
class Progress:
    """Shows how far it has come: over and over on one line of a terminal, else each second."""

    def __init__(self, output: Output, upload: int, download: int, now: float) -> None:
        self._output = output
        self._upload, self._download = upload, download
        self._sent = self._received = self._shown = 0
        self._began = self._shown_at = now
        self._is_live = output.has_terminal and not output.as_json

    def update(self, sent: int, received: int) -> None:
        """The bytes so far."""
        self._sent, self._received = sent, received

    async def run(self) -> None:
        """Show it until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_REDRAW_INTERVAL if self._is_live else _LINE_INTERVAL)
            self.show(loop.time())

    def show(self, now: float) -> None:
        """Show it once."""
        moved = self._sent + self._received
        speed = rate(moved - self._shown, now - self._shown_at)
        self._shown, self._shown_at = moved, now
        if self._output.as_json:
            self._output.say_event("progress", sent=self._sent, received=self._received, seconds=now - self._began)
        elif self._is_live:
            self._output.status(f"{self._text()}, {speed}")
        else:
            self._output.note(f"{self._text()}, {speed}")

    def _text(self) -> str:
        if self._sent < self._upload:
            return f"sent {size(self._sent)} of {size(self._upload)}"
        return f"received {size(self._received)} of {size(self._download)}"
