"""Bundled preferences: answers that are equally right, and more or less kind."""
