"""The 12-byte header of yamux and what its fields may be. Spec: yamux, "Framing"."""

from struct import Struct

from cortexnet.mux.outbox import RECORD_SIZE as RECORD_SIZE

HEADER = Struct(">III")
"""First word, stream id, length; the first word is version (8 bits), type (8) and flags (16)."""
HEADER_SIZE = 12

DATA = 0x0000_0000
WINDOW_UPDATE = 0x0001_0000
PING = 0x0002_0000
GO_AWAY = 0x0003_0000
TYPE_MASK = 0xFFFF_0000
"""Version and type: a version other than 0 makes the type an unknown one."""

SYN, ACK, FIN, RST = 1, 2, 4, 8

MAX_CREDIT = 0xFFFF_FFFF
FRAME_SIZE = RECORD_SIZE - HEADER_SIZE
"""A frame and its header fill a record exactly."""

pack = HEADER.pack
unpack_from = HEADER.unpack_from
