"""A name whose content changes: records of IPNS in the DHT, and values of a namespace of your own.

    python examples/ipns.py

The name is the peer id of a key. Whoever has the key publishes under it, and everybody can check it; nobody need be connected to
the publisher, for other nodes keep the record.
"""

import asyncio
import time
from collections.abc import Sequence

from cortexnet import Config, Identity, InvalidRecord, IpnsRecord, KadConfig, Node

DAY = 24 * 3600


class News:
    """Whose values are texts that begin with their issue, such as `7 rain`; the latest issue is the best."""

    def validate(self, key: bytes, value: bytes, unix_now: float) -> None:
        """Everybody may write here: what must not be kept is refused."""
        if not value[:9].partition(b" ")[0].isdigit():
            raise InvalidRecord("news begin with the number of their issue")

    def select(self, key: bytes, values: Sequence[bytes]) -> int:
        """Of several values that nodes have kept, the one to be used."""
        return max(range(len(values)), key=lambda index: int(values[index].partition(b" ")[0]))


CONFIG = Config(kad=KadConfig(prefix="/example", lan=False, filter_addresses=False, mode="server", validators={"news": News()}))


async def main() -> None:
    nodes = [Node(listen=["/ip4/127.0.0.1/tcp/0"], config=CONFIG) for _ in range(3)]
    publisher, keeper, reader = nodes
    async with publisher, keeper, reader:
        for node in (publisher, reader):
            await node.dial(keeper.addresses)
        name = Identity.generate()  # of its own: it outlives the node
        for sequence, path in enumerate(["/ipfs/bafkqaaa", "/ipfs/bafkqabtimvwgy3y"], 1):
            record = IpnsRecord.create(name.private_key, path, sequence=sequence, eol_unix=time.time() + 2 * DAY)
            await publisher.kad.put_value(IpnsRecord.key_of(name.peer_id), record.encode())
        found = IpnsRecord.decode(await reader.kad.get_value(f"/ipns/{name.peer_id}"))
        print("it points to", found.value.decode(), "for", found.ttl // 10**9, "s at least")

        await publisher.kad.put_value("/news/weather", b"7 rain")
        print("the news:", (await reader.kad.get_value("/news/weather")).decode())
        try:
            await publisher.kad.put_value("/news/weather", b"6 sun")
        except InvalidRecord as error:
            print("refused:", error)


if __name__ == "__main__":
    asyncio.run(main())
