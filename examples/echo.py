"""Echo: a server that sends back what it gets, and a client that sends and reads at the same time.

    python examples/echo.py

A client that first writes everything and then reads hangs once the echo fills the windows of both directions, with any libp2p
implementation: so one task writes while another reads.
"""

import asyncio

from cortexnet import Node, Stream

ECHO = "/example/echo/1.0.0"
SIZE = 4 * 1024 * 1024  # more than both windows together


async def echo(stream: Stream) -> None:
    async for chunk in stream:
        await stream.write(chunk)


async def send(stream: Stream) -> None:
    block = bytes(range(256)) * 256
    for _ in range(SIZE // len(block)):
        await stream.write(block)
    await stream.close_write()


async def main() -> None:
    async with Node(listen=["/ip4/127.0.0.1/tcp/0"]) as server, Node() as client:
        server.handle(ECHO, echo)
        peer = await client.dial(server.addresses)
        async with client.stream(peer, ECHO) as stream, asyncio.TaskGroup() as tasks:
            tasks.create_task(send(stream))
            received = 0
            async for chunk in stream:
                received += len(chunk)
        print(f"{received} bytes came back from {peer}")


if __name__ == "__main__":
    asyncio.run(main())
