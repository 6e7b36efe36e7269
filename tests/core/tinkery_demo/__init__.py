"""A launch script for the tests of tinkery_core: small, but with all that a real one has."""
