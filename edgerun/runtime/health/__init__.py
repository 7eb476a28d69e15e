"""How the daemon is, who may ask, and what it does about it."""
