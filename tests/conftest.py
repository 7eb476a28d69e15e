"""What holds for all tests."""

import signal

from hypothesis import settings

# A shell's background jobs inherit Ctrl-C as ignored, and so would all that the tests start and then interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# On a busy machine any example may take long once; how fast something is, no test asks.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
