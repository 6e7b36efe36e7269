"""Supervised datasets and trainer of tinkery. Nothing is here yet but the version."""
