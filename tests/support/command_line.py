"""For tests of the command line: commands in processes of their own, and servers that are no nodes."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from click.testing import CliRunner, Result

from cortexnet.cli.main import cli

COMMAND = [sys.executable, "-m", "cortexnet"]
OTHER_PEER = "12D3KooWGRUVh7wCHhPoMYHjD3vdC5EEBNHFFrSvDfFvqFTmTvkg"
DEADLINE = 20.0  # seconds, for what takes a fraction of one


def invoke(*arguments: str) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(cli, list(arguments), prog_name="cortexnet")


def events(text: str) -> list[dict[str, Any]]:
    """The JSON lines of an output."""
    return [json.loads(line) for line in text.splitlines()]


class Process:
    """A command in a process of its own, whose output is read line by line."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def next_event(self, name: str) -> dict[str, Any]:
        """The next event of that name; those before it are dropped."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event: dict[str, Any] = json.loads(line)
            if event["event"] == name:
                return event
        raise AssertionError(f"ended without {name}: {self.end()}")

    def next_line(self, beginning: str) -> str:
        """The next line with that beginning."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(beginning):
                return line
        raise AssertionError(f"ended without {beginning}: {self.end()}")

    def end(self, number: signal.Signals | None = None) -> tuple[int, str, str]:
        """Send it a signal and wait for its end: exit code, and what was left of stdout and stderr."""
        if number is not None:
            self.process.send_signal(number)
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        # Not communicate(), which does not know what was read ahead; and stderr has far less than a pipe holds.
        out, err = self.process.stdout.read(), self.process.stderr.read()
        return self.process.wait(timeout=DEADLINE), out, err


@contextlib.contextmanager
def running(*arguments: str) -> Iterator[Process]:
    """A command for the block."""
    process = Process(*arguments)
    try:
        yield process
    finally:
        if process.process.poll() is None:
            process.process.kill()
        process.process.wait()
        for pipe in (process.process.stdout, process.process.stderr):
            if pipe is not None:
                pipe.close()


@contextlib.contextmanager
def serving(handle: Callable[[socket.socket], None]) -> Iterator[str]:
    """The address of a server that does `handle` with the sockets it accepts, one after the other."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    accepted, _ = listener.accept()
                except OSError:
                    return
                with accepted, contextlib.suppress(OSError):
                    handle(accepted)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"/ip4/127.0.0.1/tcp/{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def wait_gone(pid: int) -> None:
    """Wait until a process that may not be our child has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        readable, _, _ = select.select([descriptor], [], [], DEADLINE)
        assert readable, f"process {pid} is still there"
    finally:
        os.close(descriptor)
