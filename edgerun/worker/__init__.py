"""The engine's child process: the parent's side, the child's side, and the memory between them."""
