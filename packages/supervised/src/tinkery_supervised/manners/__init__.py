"""Bundled preferences: answers that are more or less kind, and right ones beside wrong ones."""
