"""A namespace of an application as the DHT knows it: content that its members provide.

Spec: go-libp2p `discovery/routing`: the CID, version 1 and of codec raw, of the namespace's text.
"""

from cortexnet.errors import LocalError
from cortexnet.multiformats.cid import Cid

SIZE_LIMIT = 1024
"""Bytes of a namespace's text; far more than anybody's."""


def key_of(namespace: str) -> bytes:
    """The multihash under which members are found. Raises LocalError for a text that is none."""
    return cid_of(namespace).multihash


def cid_of(namespace: str) -> Cid:
    """The same as a CID, for tools that want one. Raises LocalError for a text that is none."""
    if not isinstance(namespace, str):
        raise LocalError(f"a namespace is a text, not {type(namespace).__name__}")
    try:
        data = namespace.encode()
    except UnicodeEncodeError:
        raise LocalError(f"{namespace[:64]!a} is no text that others could have") from None
    if not data or len(data) > SIZE_LIMIT:
        raise LocalError(f"a namespace has 1 to {SIZE_LIMIT} bytes, not {len(data)}")
    return Cid.for_data(data)
