"""The tokenizer: any text survives it, digits stand alone, and it can be made again bit for bit."""

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tinkery_local.tiny import folder
from tinkery_local.tiny.bake import RECIPE, tokenizer_texts
from tinkery_local.tiny.chat_format import BOS, EOS, SPECIAL_TOKENS
from tinkery_local.tiny.tokenizer import VOCAB_SIZE, save_tokenizer, train_tokenizer
from tokenizers import Tokenizer

SHIPPED = Tokenizer.from_file(str(folder() / "tokenizer.json"))


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_text_encodes_and_decodes_to_itself(text: str) -> None:
    ids = SHIPPED.encode(text, add_special_tokens=False).ids
    assert SHIPPED.decode(ids, skip_special_tokens=False) == text


@given(st.integers(min_value=0, max_value=10**12))
def test_each_digit_is_a_token(number: int) -> None:
    assert SHIPPED.encode(str(number), add_special_tokens=False).tokens == list(str(number))


def test_special_tokens_come_first_and_are_never_split() -> None:
    assert SHIPPED.get_vocab_size() == VOCAB_SIZE
    assert SHIPPED.encode("".join(SPECIAL_TOKENS)).ids == list(range(len(SPECIAL_TOKENS)))
    assert SHIPPED.encode(f"a{EOS}").tokens == ["a", EOS]


def test_training_again_gives_the_shipped_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(RECIPE.seed).spawn(3)[0]
    tokenizer = train_tokenizer(tokenizer_texts(rng, RECIPE.tokenizer_conversations))
    save_tokenizer(tokenizer, tmp_path, RECIPE.spec.max_position_embeddings)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / name).read_bytes() == (folder() / name).read_bytes()


def test_a_question_costs_few_tokens() -> None:
    assert len(SHIPPED.encode(f"{BOS}What is 37 + 45?").ids) <= 13
