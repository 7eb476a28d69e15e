"""From events to acknowledged messages."""
