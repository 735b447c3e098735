"""Encrypted, authenticated sessions over a byte stream."""
