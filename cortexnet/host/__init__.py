"""The protocols every libp2p host speaks, and the table of handlers."""
