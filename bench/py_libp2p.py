"""py-libp2p as one half of a measured pair: run by the interpreter of its own environment, which has nothing of ours.

It speaks as `bench.half` does: a task on stdin, then its address, or its figures. See `bench.py_peer`.
"""
# mypy: ignore-errors
# What it imports is in that other environment.

import json
import secrets
import sys
import time

import multiaddr
import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.peer.peerinfo import info_from_p2p_addr

ECHO = TProtocol("/interop/echo/1.0.0")
SIZE = 100


async def echo(stream):
    await stream.write(await stream.read(SIZE))
    await stream.close()


async def serve():
    listen = [multiaddr.Multiaddr("/ip4/127.0.0.1/tcp/0")]
    host = new_host(key_pair=create_new_key_pair(secrets.token_bytes(32)), muxer_preference="YAMUX")
    async with host.run(listen_addrs=listen):
        host.set_stream_handler(ECHO, echo)
        address = str(host.get_addrs()[0])
        print(json.dumps({"address": address if "/p2p/" in address else f"{address}/p2p/{host.get_id()}"}), flush=True)
        await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)


async def requests(task):
    """The figures of `task["amount"]` requests, `task["at_once"]` under way at any time."""
    host = new_host(key_pair=create_new_key_pair(secrets.token_bytes(32)), muxer_preference="YAMUX")
    async with host.run(listen_addrs=[]):
        info = info_from_p2p_addr(multiaddr.Multiaddr(task["address"]))
        await host.connect(info)
        times, left = [], iter(range(task["amount"]))

        async def work():
            for _ in left:
                begin = time.perf_counter()
                stream = await host.new_stream(info.peer_id, [ECHO])
                await stream.write(bytes(SIZE))
                answer = b""
                while len(answer) < SIZE:
                    answer += await stream.read(SIZE - len(answer))
                await stream.close()
                times.append(time.perf_counter() - begin)

        begin = time.perf_counter()
        async with trio.open_nursery() as nursery:
            for _ in range(task["at_once"]):
                nursery.start_soon(work)
        seconds = time.perf_counter() - begin
        connections = len(host.get_network().connections[info.peer_id])
    ordered = sorted(times)
    tails = {"p50": ordered[len(ordered) // 2] * 1e6, "p99": ordered[len(ordered) * 99 // 100] * 1e6}
    print(json.dumps({"rate": len(times) / seconds, "connections": connections, **tails}), flush=True)


def main():
    task = json.loads(sys.stdin.readline())
    if task["address"]:
        trio.run(requests, task)
    else:
        trio.run(serve)


if __name__ == "__main__":
    main()
