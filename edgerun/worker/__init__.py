"""The engine's child process: the parent's side, the child's side, and the memory between them."""

import struct

NUMBER = struct.Struct("<i")
"""What the nurse tells of each process that it forks: its id, and later its exit status."""
PROCESS_NAME = "edgerun-engine"
"""What a child is called in lists of processes, as against its nurse."""
SAID = "edgerun says: "
"""Before what a child's own log says, in its standard error: the rest of that is what libraries print."""
