"""Requests and responses: a small key-value service, and what a caller sees of its failures.

    python examples/request_response.py

Each request is a stream of its own. A caller that gives up resets it, and the handler is cancelled.
"""

import asyncio
import json

from cortexnet import NegotiationFailed, Node, PeerTimeout, Refuse, Request, RequestFailed

QUERY = "/example/query/1.0.0"
SLOW = "/example/slow/1.0.0"
NOT_FOUND = 404  # codes are the protocol's own; 0 is what a handler with a bug sends

VALUES = {"earth": "mostly harmless"}


async def query(request: Request) -> bytes:
    """The value of a key. Bytes of a peer are no more to be trusted here than anywhere."""
    try:
        key = json.loads(request.data)["key"]
    except (ValueError, KeyError, TypeError):
        raise Refuse(400, "no JSON with a key") from None
    if key not in VALUES:
        raise Refuse(NOT_FOUND, "no such key")
    return json.dumps({"value": VALUES[key], "for": str(request.peer_id)}).encode()


async def slow(request: Request) -> bytes:
    """Never answers; ends when the caller gives up."""
    await asyncio.Event().wait()
    return b""


async def main() -> None:
    server = Node(listen=["/ip4/127.0.0.1/tcp/0"])
    server.respond(QUERY, query)
    server.respond(SLOW, slow)
    async with server, Node() as client:
        peer = await client.dial(server.addresses)
        answer = await client.request(peer, QUERY, b'{"key": "earth"}', timeout=5)
        print("the answer:", json.loads(answer)["value"])
        try:
            await client.request(peer, QUERY, b'{"key": "vogon"}', timeout=5)
        except RequestFailed as error:
            print("refused with code", error.code)
        try:
            await client.request(peer, SLOW, b"", timeout=0.05)
        except PeerTimeout as error:
            print("given up:", error)
        try:
            await client.request(peer, "/example/unknown/1.0.0", b"", timeout=5)
        except NegotiationFailed as error:
            print("not spoken here:", *error.protocols)


if __name__ == "__main__":
    asyncio.run(main())
