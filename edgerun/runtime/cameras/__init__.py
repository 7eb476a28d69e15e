"""Each camera from its capture to what is told of it."""
