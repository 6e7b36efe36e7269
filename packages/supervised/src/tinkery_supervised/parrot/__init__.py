"""Bundled conversations with a parrot, who knows what the tiny model knows and has a manner of its own."""
