"""What tests of /wss listen and dial with."""

import functools
import tempfile
from pathlib import Path

from cortexnet.testing.host_certificates import make_host_certificate
from cortexnet.transport.outer_tls import client_context, server_context
from cortexnet.transport.websocket_config import WebSocketConfig

NAME = "node.example"


@functools.cache
def websocket_config() -> WebSocketConfig:
    """What all tests that have no wishes of their own share: a host, also called NAME, that trusts itself."""
    with tempfile.TemporaryDirectory() as folder:
        config = make_host_certificate(Path(folder), names=("localhost", NAME))
        return WebSocketConfig(server_context=server_context(config), client_context=client_context(config))
