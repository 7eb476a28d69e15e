"""The fault campaign: what may go wrong with a device in its life, done to it on purpose, and measured."""
