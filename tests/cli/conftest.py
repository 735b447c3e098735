"""Addresses for the tests of the command line: of a node, of nobody, of somebody who says nothing."""

import socket
from collections.abc import Iterator

import pytest

from tests.support.command_line import running


@pytest.fixture(scope="session")
def node_address() -> Iterator[str]:
    """Where a node of `cortexnet run` is, which serves all it can."""
    with running("run", "--listen", "/ip4/127.0.0.1/tcp/0", "--json", "--perf", "--echo") as process:
        yield process.next_event("listening")["addresses"][0]


@pytest.fixture
def silent_address() -> Iterator[str]:
    """An address where connections are taken, and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"/ip4/127.0.0.1/tcp/{listener.getsockname()[1]}"


@pytest.fixture
def dead_address() -> Iterator[str]:
    """An address where nobody listens, and nobody else will meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"/ip4/127.0.0.1/tcp/{bound.getsockname()[1]}"
