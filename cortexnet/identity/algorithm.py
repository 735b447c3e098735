"""What each kind of key hands to `keys`: something that signs and something that verifies."""

from collections.abc import Callable

Verifier = Callable[[bytes, bytes], None]
"""Takes signature and data, in this order; returns if they fit, raises InvalidSignature or ValueError if not."""
Signer = Callable[[bytes], bytes]
"""Takes data, returns its signature."""
