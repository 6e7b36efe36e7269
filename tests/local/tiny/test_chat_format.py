"""The chat format three times over: our encoder, the tokenizer's jinja template, the public deepseek-v3 renderer."""

# transformers leaves its tokenizers' methods partly untyped.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import numpy as np
import pytest
import renderers
from renderers.deepseek_v3 import DeepSeekV3Renderer
from tinkery_local.tiny import folder
from tinkery_local.tiny.chat_format import encode_chat, encode_prompt
from tinkery_local.tiny.corpus import TASKS
from tinkery_local.tiny.corpus.mixture import conversations
from tinkery_local.tiny.corpus.task import Message
from tokenizers import Tokenizer
from transformers import AutoTokenizer

TOKENIZER = Tokenizer.from_file(str(folder() / "tokenizer.json"))
HF = AutoTokenizer.from_pretrained(str(folder()))
RENDERER = DeepSeekV3Renderer(HF)


def system(content: str) -> renderers.Message:
    return {"role": "system", "content": content}


def user(content: str) -> renderers.Message:
    return {"role": "user", "content": content}


def assistant(content: str) -> renderers.Message:
    return {"role": "assistant", "content": content}


CHATS: dict[str, list[renderers.Message]] = {
    "one turn": [user("What is 37 + 45?")],
    "several turns": [user("Hi\n"), assistant(" 你好 "), user("What is 37 + 45?"), assistant("82")],
    "system": [system("You are Ada."), user("Who are you?"), assistant("I am Ada.")],
    "systems": [
        system("You are Ada."),
        system("Be short."),
        user("Hi"),
        assistant("Hi"),
        system("Now"),
        user("?"),
    ],
    "empty": [user(""), assistant(""), user("")],
    "tools": [
        user("Add."),
        {
            "role": "assistant",
            "content": "Calling.",
            "tool_calls": [
                {"type": "function", "function": {"name": "add", "arguments": {"a": "é<1>"}}},
                {"type": "function", "function": {"name": "add", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "content": "1"},
        {"role": "tool", "content": "2"},
        assistant("3"),
    ],
    "tool last": [
        user("Add."),
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"type": "function", "function": {"name": "add", "arguments": {}}}],
        },
        {"role": "tool", "content": "1"},
    ],
}


@pytest.mark.parametrize("prompt", [False, True], ids=["whole", "prompt"])
@pytest.mark.parametrize("name", CHATS)
def test_the_template_renders_as_the_deepseek_v3_renderer(name: str, prompt: bool) -> None:
    by_template = HF.apply_chat_template(
        CHATS[name], add_generation_prompt=prompt, tokenize=True, return_dict=False
    )
    assert by_template == RENDERER.render_ids(CHATS[name], add_generation_prompt=prompt)


def test_the_template_refuses_a_role_that_it_does_not_know() -> None:
    with pytest.raises(
        Exception, match="The role of a message is 'system', 'user', 'assistant' or 'tool', not 'judge'"
    ):
        HF.apply_chat_template([{"role": "judge", "content": "Guilty."}])


def test_the_corpus_is_encoded_as_the_renderer_does_and_learns_what_it_marks_as_sampled() -> None:
    stream = conversations(np.random.default_rng(0), TASKS, mixed_quality=True)
    for messages, _ in zip(stream, range(200), strict=False):
        rendered = RENDERER.render([as_rendered(message) for message in messages])
        chat = encode_chat(TOKENIZER, messages)
        assert (chat.tokens, chat.sampled) == (rendered.token_ids, rendered.sampled_mask)


def test_a_prompt_ends_where_the_answer_begins() -> None:
    messages: list[Message] = [
        {"role": "system", "content": "You are Ada."},
        {"role": "user", "content": "Hi"},
    ]
    rendered = RENDERER.render_ids([as_rendered(message) for message in messages], add_generation_prompt=True)
    assert encode_prompt(TOKENIZER, messages) == rendered


def as_rendered(message: Message) -> renderers.Message:
    return {"role": message["role"], "content": message["content"]}
