"""Which frame goes to which engine next, and its answer back: live cameras, stills and trials alike."""
