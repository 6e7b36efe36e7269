"""Conversations as padded batches of a few fixed shapes, so that pre-training compiles a handful of programs."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinkery_local.tiny.chat_format import EncodedChat


@dataclass(frozen=True)
class Bucket:
    """Rows of one width: a batch holds `rows` conversations of at most `width` tokens."""

    width: int
    rows: int


@dataclass(frozen=True)
class Batch:
    """Inputs, the token that follows each, and 1.0 where the model is to produce it; each of shape [rows, width]."""

    tokens: NDArray[np.int32]
    targets: NDArray[np.int32]
    weights: NDArray[np.float32]


BUCKETS = (Bucket(20, 160), Bucket(48, 64), Bucket(96, 32))
"""About 3,000 tokens a batch each. Longer conversations (one in a hundred) are left out."""


def batches(chats: Iterable[EncodedChat], buckets: tuple[Bucket, ...] = BUCKETS) -> Iterator[Batch]:
    """Sorts chats into the narrowest bucket that holds them and yields each bucket as it fills."""
    waiting: dict[Bucket, list[EncodedChat]] = {bucket: [] for bucket in buckets}
    for chat in chats:
        bucket = next((bucket for bucket in buckets if len(chat.tokens) - 1 <= bucket.width), None)
        if bucket is None:
            continue
        waiting[bucket].append(chat)
        if len(waiting[bucket]) == bucket.rows:
            yield pad(waiting[bucket], bucket)
            waiting[bucket] = []


def pad(chats: list[EncodedChat], bucket: Bucket) -> Batch:
    """One row a chat, padded on the right with token 0 at weight 0."""
    tokens = np.zeros((bucket.rows, bucket.width + 1), np.int32)
    weights = np.zeros((bucket.rows, bucket.width + 1), np.float32)
    for row, chat in enumerate(chats):
        tokens[row, : len(chat.tokens)] = chat.tokens
        weights[row, : len(chat.tokens)] = chat.sampled
    return Batch(tokens[:, :-1], tokens[:, 1:], weights[:, 1:])
