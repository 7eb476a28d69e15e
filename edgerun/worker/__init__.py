"""The engine's child process: the parent's side, the child's side, and the memory between them."""

import struct

LENGTH = struct.Struct("<I")
"""Before each pickle on a pipe: its size."""
