"""Sockets, and the shells that turn them into connections and streams."""
