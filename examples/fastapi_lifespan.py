"""A node inside a web application: it starts and stops with FastAPI's lifespan.

    uvicorn examples.fastapi_lifespan:app            # needs fastapi and uvicorn

    curl localhost:8000/node
    curl -X POST localhost:8000/ping -H 'content-type: application/json' -d '{"address": "/ip4/127.0.0.1/tcp/4001/p2p/12D3KooW…"}'

Start and stop may run in different tasks, as a lifespan's do. Never let people from outside choose whom the node dials, as this
example does: it makes your server knock at any door.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel

from cortexnet import CortexError, Node


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with Node(listen=["/ip4/127.0.0.1/tcp/0"]) as node:
        app.state.node = node
        yield


app = FastAPI(lifespan=lifespan)


def running_node(request: Request) -> Node:
    node = request.app.state.node
    assert isinstance(node, Node)
    return node


NodeOfApp = Annotated[Node, Depends(running_node)]


class Target(BaseModel):
    address: str


@app.get("/node")
async def describe(node: NodeOfApp) -> dict[str, str | list[str]]:
    return {"peer_id": str(node.peer_id), "addresses": [str(address) for address in node.addresses]}


@app.post("/ping")
async def ping(target: Target, node: NodeOfApp) -> dict[str, str | float]:
    try:
        peer = await node.dial(target.address)
        return {"peer_id": str(peer), "seconds": await node.ping(peer)}
    except CortexError as error:  # its text says of each address what went wrong
        raise HTTPException(502, str(error)) from error
