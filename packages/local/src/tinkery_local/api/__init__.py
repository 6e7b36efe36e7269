"""The HTTP handlers: each reads a request, asks the service, and words the answer."""
