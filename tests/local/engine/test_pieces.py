"""The parts that are plain functions: padded shapes, batches, growing sequences, the compile cache."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tinkery_local.engine import Datum, ModelSpec, keep_compiled_programs
from tinkery_local.engine.datum import make_batches, unpad
from tinkery_local.engine.decode import num_slots
from tinkery_local.engine.losses import LOSSES
from tinkery_local.engine.sequence import GrowingSequence, Plan
from tinkery_local.engine.shapes import context_length, training_length

SPEC = ModelSpec("llama", 50, 8, 12, 1, 2, 1, 4, 4096)


@given(st.integers(1, 100_000))
def test_padded_lengths_are_few_and_close(length: int) -> None:
    assert length <= training_length(length) < max(17, length * 3 / 2)
    assert length <= context_length(length) < max(33, length * 2)


def test_padded_lengths() -> None:
    assert sorted({training_length(n) for n in range(1, 400)}) == [
        16,
        24,
        32,
        48,
        64,
        96,
        128,
        192,
        256,
        384,
        512,
    ]
    assert sorted({context_length(n) for n in range(1, 400)}) == [32, 64, 128, 256, 512]


@given(st.lists(st.integers(1, 200), max_size=40), st.integers(1, 3))
def test_each_datum_is_in_one_row_of_a_fixed_shape(lengths: list[int], width: int) -> None:
    data = [
        Datum(
            np.full(length, index % 50, np.int32),
            {
                "target_tokens": np.full((length, width), index % 50),
                "weights": np.full((length, width), index + 1.0),
            },
        )
        for index, length in enumerate(lengths)
    ]
    batches = make_batches(SPEC, LOSSES["cross_entropy"], {}, data, 256)
    assert sorted(index for batch in batches for index in batch.indices) == list(range(len(data)))
    for batch in batches:
        rows, length = batch.tokens.shape
        assert length == training_length(length)
        assert rows == max(1, 256 // length)
        assert (
            batch.inputs["weights"].shape
            == batch.targets.shape
            == (*batch.tokens.shape, {1: 1, 2: 2, 3: 4}[width])
        )
        assert ((batch.inputs["weights"] != 0) == (batch.inputs["present"] == 1)).all()
    weights = unpad(data, batches, [batch.inputs["weights"] for batch in batches])
    for datum, back in zip(data, weights, strict=True):
        np.testing.assert_array_equal(back, datum.inputs["weights"])


def test_slots_shrink_with_the_memory_that_a_context_takes() -> None:
    large = ModelSpec("qwen3", 151_936, 1024, 3072, 28, 16, 8, 128, 40_960)
    assert [num_slots(SPEC, context) for context in (32, 4096)] == [64, 64]
    assert [num_slots(large, context) for context in (32, 256, 1024, 8192, 16_384)] == [64, 32, 8, 1, 0]


def letters(tokens: list[int]) -> str:
    return "".join(chr(96 + token) for token in tokens)


def grown(chunks: list[list[int]], limit: int = 10, stop_strings: tuple[str, ...] = ()) -> GrowingSequence:
    plan = Plan(1, (1,), 0, limit, 1.0, 50, 1.0, 1, (5, 9), stop_strings, letters)
    sequence = GrowingSequence(plan, 0)
    for chunk in chunks:
        column = np.array(chunk)[:, None]
        sequence.take(
            chunk, [-float(token) for token in chunk], column.astype(np.int32), -column.astype(np.float32)
        )
    return sequence


@pytest.mark.parametrize(
    ("chunks", "limit", "stop_strings", "tokens", "reason"),
    [
        ([[1, 2], [3, 4]], 10, (), [1, 2, 3, 4], None),
        ([[1, 2], [3, 5, 6]], 10, (), [1, 2, 3, 5], "stop"),
        ([[1, 2], [3, 4, 6]], 4, (), [1, 2, 3, 4], "length"),
        ([[1, 2], [3, 5]], 4, (), [1, 2, 3, 5], "stop"),
        ([[1, 2], [3, 4, 5]], 4, (), [1, 2, 3, 4], "length"),
        ([[1, 2], [3, 4, 6]], 10, ("bc", "d"), [1, 2, 3], "stop"),
        ([[1, 2], [3, 4, 6]], 5, ("f",), [1, 2, 3, 4, 6], "stop"),
        ([[1, 2], [3, 4, 6]], 5, ("zz",), [1, 2, 3, 4, 6], "length"),
    ],
)
def test_a_sequence_ends_at_its_first_stop(
    chunks: list[list[int]],
    limit: int,
    stop_strings: tuple[str, ...],
    tokens: list[int],
    reason: str | None,
) -> None:
    sequence = grown(chunks, limit, stop_strings)
    assert sequence.tokens == tokens
    assert sequence.stop_reason == reason
    if reason:
        result = sequence.result()
        np.testing.assert_array_equal(result.logprobs, [-token for token in tokens])
        assert result.topk is not None
        np.testing.assert_array_equal(result.topk.token_ids[:, 0], tokens)


def test_chances_belong_to_their_tokens() -> None:
    whole = grown([]).chances(20)
    assert ((whole >= 0) & (whole < 1)).all()
    assert len(set(whole.tolist())) == 20
    for count in (1, 4, 8):
        sequence = grown([[1] * count])
        np.testing.assert_array_equal(sequence.chances(8), whole[count : count + 8])


def test_programs_are_kept_between_processes(tmp_path: Path) -> None:
    code = (
        "import numpy as np; from tinkery_local import engine as e; from tinkery_local.engine.typed import program\n"
        "e.keep_compiled_programs(); program()(lambda x: x + 1)(np.ones(3)); print(e.compilations()[0])"
    )
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "1", done.stderr
    assert list((tmp_path / "tinkery" / "xla").iterdir())


def test_a_cache_that_cannot_be_written_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tinkery").write_text("a file where the folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert keep_compiled_programs() is None
