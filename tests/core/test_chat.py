"""Chats to tokens and back, with the bundled model's chat format."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tinkery_core.chat import Chat, Message
from tinkery_core.errors import UserError
from tinkery_core.model import ModelConfig

QUESTION: list[Message] = [{"role": "user", "content": "What is 3 + 4?"}]


@pytest.fixture(scope="module")
def chat() -> Chat:
    return ModelConfig(name="tinkery/tiny", renderer="deepseek-v3").load_chat()


def test_a_prompt_ends_where_the_assistant_begins(chat: Chat) -> None:
    assert chat.decode(chat.render_prompt(QUESTION)) == (
        "<｜begin▁of▁sentence｜><｜User｜>What is 3 + 4?<｜Assistant｜>"
    )
    assert chat.decode(chat.stop_tokens) == "<｜end▁of▁sentence｜>"


def test_a_chat_is_extended_not_rendered_again(chat: Chat) -> None:
    prompt = chat.render_prompt(QUESTION)
    # What a model samples need not be how the tokenizer would write it.
    odd = [token for letter in "seven" for token in chat.encode(letter)]
    assert odd != chat.encode("seven")
    extended = chat.extend(prompt, [*odd, *chat.stop_tokens], [{"role": "user", "content": "Sure?"}])
    assert extended[: len(prompt) + len(odd) + 1] == [*prompt, *odd, *chat.stop_tokens]
    assert chat.decode(extended) == (
        "<｜begin▁of▁sentence｜><｜User｜>What is 3 + 4?<｜Assistant｜>seven<｜end▁of▁sentence｜>"
        "<｜User｜>Sure?<｜Assistant｜>"
    )


def test_a_truncated_message_is_closed_when_the_chat_goes_on(chat: Chat) -> None:
    prompt = chat.render_prompt(QUESTION)
    extended = chat.extend(prompt, chat.encode("sev"), [{"role": "user", "content": "Go on"}])
    assert chat.decode(extended).endswith("sev<｜end▁of▁sentence｜><｜User｜>Go on<｜Assistant｜>")


def test_parse_leaves_the_stop_token_out(chat: Chat) -> None:
    assert chat.parse([*chat.encode("7"), *chat.stop_tokens]) == "7"
    assert chat.parse(chat.encode("7")) == "7"


def test_what_cannot_be_extended_is_an_error(chat: Chat) -> None:
    with pytest.raises(UserError, match="cannot continue a sampled chat"):
        chat.extend(chat.render_prompt(QUESTION), chat.encode("7"), [{"role": "assistant", "content": "8"}])


@given(st.text())
def test_any_text_survives(text: str) -> None:
    chat = ModelConfig(name="tinkery/tiny", renderer="deepseek-v3").load_chat()
    assert chat.decode(chat.encode(text)) == text


def test_loaded_once(chat: Chat) -> None:
    assert ModelConfig(name="tinkery/tiny", renderer="deepseek-v3").load_chat() is chat


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            ModelConfig(name="tinkery/tiny", renderer="deepseek-v2"),
            "model.renderer=deepseek-v2 is not a chat format. Did you mean deepseek-v3?\n"
            "Expected one of: deepseek-r1, ",
        ),
        (
            ModelConfig(name="tinkery/tiny"),
            "model.renderer is not set, and the chat format of tinkery/tiny is not known by its name.\n"
            "Set model.renderer to one of: deepseek-r1, ",
        ),
        (
            ModelConfig(name="tinkery/huge", renderer="qwen3"),
            "model.name=tinkery/huge: no such bundled model.\nInstalled ones: tinkery/tiny. ",
        ),
        (
            ModelConfig(name="Qwen/Qwen3-0.6B"),
            "model.name=Qwen/Qwen3-0.6B: no tokenizer found.\nExpected tinkery/…, a folder with a tokenizer.json, or ",
        ),
    ],
)
def test_errors(model: ModelConfig, message: str) -> None:
    with pytest.raises(UserError) as error:
        model.load_chat()
    assert str(error.value).startswith(message)


def test_a_model_folder(workplace: Path) -> None:
    from tinkery_local.tiny import folder

    config = ModelConfig(name=str(folder()), renderer="deepseek-v3")
    bundled = ModelConfig(name="tinkery/tiny", renderer="deepseek-v3")
    assert config.load_chat().render_prompt(QUESTION) == bundled.load_chat().render_prompt(QUESTION)
