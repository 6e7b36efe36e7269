"""The few lengths that anything is padded to, for each length is a program to compile."""

_SHORTEST_DATUM = 16
_SHORTEST_CONTEXT = 32


def training_length(length: int) -> int:
    """The next of 16, 24, 32, 48, 64, 96, …: training and scoring pay for every padded token."""
    size = _SHORTEST_DATUM
    while size < length:
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return size


def context_length(length: int) -> int:
    """The next power of two from 32 on: decoding hardly pays for a context that it does not fill."""
    return max(_SHORTEST_CONTEXT, 1 << (length - 1).bit_length())
