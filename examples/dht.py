"""Six nodes, of which each knows one other at first: they find content, values and each other by hearsay."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

from cortexnet import Cid, Config, InvalidRecord, KadConfig, Node, NotFound

HERE = ["/ip4/127.0.0.1/tcp/0"]
CID = Cid.for_data(b"something that is worth to be found")


class Weather:
    """Values of /weather/…: a text for a place, the longer the better."""

    def validate(self, key: bytes, value: bytes, unix_now: float) -> None:
        if not value.isascii():
            raise InvalidRecord("the weather is told in ASCII")

    def select(self, key: bytes, values: Sequence[bytes]) -> int:
        return max(range(len(values)), key=lambda index: len(values[index]))


async def main() -> None:
    config = Config(kad=KadConfig(prefix="/example", validators={"weather": Weather()}))
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(Node(listen=HERE, config=config))]
        for _ in range(5):
            known = nodes[-1].addresses
            nodes.append(await stack.enter_async_context(Node(listen=HERE, bootstrap=known, config=config)))
        first, *_, last = nodes

        await first.kad.provide(CID)
        providers = [provider.peer_id async for provider in last.kad.find_providers(CID)]
        print("the provider is found:", providers == [first.peer_id])

        await first.kad.put_value("/weather/berlin", b"rain, later sun")
        print("the weather:", (await last.kad.get_value("/weather/berlin")).decode())
        try:
            await last.kad.get_value("/weather/atlantis")
        except NotFound as error:
            print("not found:", error)

        await first.advertise("weather-watchers")
        async for found in last.find_peers("weather-watchers"):
            print("a watcher is found:", await last.dial(found.peer_id) == first.peer_id)


asyncio.run(main())
