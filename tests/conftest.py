"""What holds for all tests."""

import signal

# A shell's background jobs inherit Ctrl-C as ignored, and so would all that the tests start and then interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
