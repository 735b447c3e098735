"""Where the time of bulk goes: cipher, system calls, Python.

The measure of a stack in CPython is how little it adds to what no stack can avoid, which is the cipher and the kernel. Only their
calls are timed here, six or so for each 64 KiB: a profiler of all functions takes some 0.3 µs for each of forty calls, more than
most of them need, and all of that looks like Python's time (`bench.functions` has such a profile, to see what the rest is).

Run as `python -m bench.shares MODULE`: the module with its clocks in place, which must be there before anything is imported.
"""

import runpy
import selectors
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar, final

from cryptography.hazmat.primitives.ciphers import aead

Result = TypeVar("Result")


@final
class Clocks:
    """Seconds spent in the cipher, in system calls, and waiting for the other half, from `start` to `stop`."""

    def __init__(self) -> None:
        self._seconds = {"cipher": 0.0, "system": 0.0, "waiting": 0.0}
        self._started = 0.0

    def timed(self, what: str, call: Callable[..., Result]) -> Callable[..., Result]:
        seconds, now = self._seconds, time.perf_counter

        def timed_call(*args: Any) -> Result:
            started = now()
            try:
                return call(*args)
            finally:
                seconds[what] += now() - started

        return timed_call

    def start(self) -> None:
        self._seconds.update(cipher=0.0, system=0.0, waiting=0.0)
        self._started = time.perf_counter()

    def stop(self) -> dict[str, Any]:
        """Seconds of work, and of cipher and system calls in it. Waiting for the other half is nobody's work."""
        elapsed = time.perf_counter() - self._started
        seconds = self._seconds
        return {"work": elapsed - seconds["waiting"], "cipher": seconds["cipher"], "system": seconds["system"]}


CLOCKS: Final = Clocks()


def install(clocks: Clocks) -> None:
    """Put clocks around every cipher that is made, every socket and every selector from now on in this process."""
    make, sock, selector = aead.ChaCha20Poly1305, socket.socket, selectors.DefaultSelector

    class TimedCipher:
        def __init__(self, key: bytes) -> None:
            cipher = make(key)
            self.encrypt = clocks.timed("cipher", cipher.encrypt)
            self.decrypt = clocks.timed("cipher", cipher.decrypt)
            self.encrypt_into = clocks.timed("cipher", cipher.encrypt_into)
            self.decrypt_into = clocks.timed("cipher", cipher.decrypt_into)

    replacements: list[tuple[object, str, Callable[..., object]]] = [
        (aead, "ChaCha20Poly1305", TimedCipher),
        (sock, "send", clocks.timed("system", sock.send)),
        (sock, "sendmsg", clocks.timed("system", sock.sendmsg)),
        (sock, "recv", clocks.timed("system", sock.recv)),
        (sock, "recv_into", clocks.timed("system", sock.recv_into)),
        (selector, "select", clocks.timed("waiting", selector.select)),
    ]
    for owner, name, replacement in replacements:
        setattr(owner, name, replacement)


if __name__ == "__main__":
    from bench import shares  # not this module, which runs as __main__, but the one that `bench.half` imports

    shares.install(shares.CLOCKS)
    runpy.run_module(sys.argv[1], run_name="__main__")
