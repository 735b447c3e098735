"""Sockets that are bound. A shell."""

import os
import socket
import sys


def bind(kind: socket.SocketKind, host: str, number: int) -> socket.socket:
    """A socket of that kind at a port of an IP address, not blocking; 0 is any that is free. IPv6 does not stand for IPv4, too.

    Raises OSError with the system's number, which `loop.create_server` does not: it passes over what it could not make or bind.
    """
    family, _, protocol, _, name = socket.getaddrinfo(host, number, type=kind, flags=socket.AI_NUMERICHOST)[0]
    # By its protocol asyncio knows whose small writes are not to wait for others (TCP_NODELAY), those it accepts included.
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setblocking(False)
        if kind == socket.SOCK_STREAM and os.name == "posix" and sys.platform != "cygwin":
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # elsewhere two programs would get the same port
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(name)
    except BaseException:
        bound.close()
        raise
    return bound
