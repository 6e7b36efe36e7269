"""What all tests of this folder share."""

from hypothesis import settings

# No test judges by the clock: a property's first example may have to import the SDK.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
