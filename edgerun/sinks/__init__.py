"""Where messages go."""

SINKS = ("mqtt", "stdout")
"""Each has a section of its own in the configuration."""
