"""Bytes on the wire ↔ values of this package: JSON fields, protobuf requests and results."""
