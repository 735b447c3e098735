"""Every async test below runs in virtual time."""

from collections.abc import Callable

import pytest

from cortexnet.testing.loop import VirtualTimeLoop


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, Callable[[], VirtualTimeLoop]]:
    return {"virtual": VirtualTimeLoop}
