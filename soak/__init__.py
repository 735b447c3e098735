"""Soak: nodes over real sockets, which are killed, parted, stalled and misled again and again; is all well in each calm?"""
