"""Tools in chats: what the model is told of them, what it calls, and what it is answered, token for token."""

import json

import pytest
from tinkery_core.chat import Chat, Message, ToolSpec
from tinkery_core.model import ModelConfig
from tinkery_local.tiny import folder

ADD: ToolSpec = {
    "name": "add",
    "description": "Adds.",
    "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
}
QUESTION: Message = {"role": "user", "content": "What is 1 + 2?"}
CALLS: Message = {
    "role": "assistant",
    "content": "Let me see",
    "tool_calls": [
        {"id": "call_0", "name": "add", "arguments": {"a": 1, "text": "two\nlines"}},
        {"id": "call_1", "name": "add", "arguments": {}},
    ],
}
RESULTS: list[Message] = [
    {"role": "tool", "content": "3", "tool_call_id": "call_0", "name": "add"},
    {"role": "tool", "content": "four", "tool_call_id": "call_1", "name": "add"},
]
ANSWERED = {
    "deepseek-v3": "<｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>3<｜tool▁output▁end｜>"
    "<｜tool▁output▁begin｜>four<｜tool▁output▁end｜><｜tool▁outputs▁end｜>",
    "qwen3": "\n<|im_start|>user\n<tool_response>\n3\n</tool_response>\n<tool_response>\nfour\n</tool_response>"
    "<|im_end|>\n<|im_start|>assistant\n",
}


@pytest.fixture(scope="module")
def deepseek() -> Chat:
    """A format with no place for tools."""
    return ModelConfig(name="tinkery/tiny", renderer="deepseek-v3").load_chat()


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Chat:
    """A format with tools and with reasoning, over the tiny model's tokenizer and the tokens that it needs."""
    path = tmp_path_factory.mktemp("qwen")
    tokenizer = json.loads((folder() / "tokenizer.json").read_text())
    tags = [f"<{slash}{tag}>" for tag in ("tool_call", "tool_response", "think") for slash in ("", "/")]
    for content in ["<|im_start|>", "<|im_end|>", "<|endoftext|>", *tags]:
        how = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
        token = 512 + len(tokenizer["added_tokens"])  # the bundled one has 512 in all
        tokenizer["added_tokens"].append({"id": token, "content": content, **how})
    (path / "tokenizer.json").write_text(json.dumps(tokenizer))
    (path / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|im_end|>"}))
    return ModelConfig(name=str(path), renderer="qwen3").load_chat()


@pytest.fixture(params=["deepseek-v3", "qwen3"])
def chat(request: pytest.FixtureRequest, deepseek: Chat, qwen: Chat) -> Chat:
    return {"deepseek-v3": deepseek, "qwen3": qwen}[request.param]


def sampled(chat: Chat, message: Message) -> list[int]:
    """The tokens that a model would have sampled to say this."""
    prompt = chat.render_prompt([QUESTION])
    # The next question shows where the message ends, as some formats close it there.
    tokens = chat.render_prompt([QUESTION, message, QUESTION])[len(prompt) :]
    return tokens[: next(i for i, token in enumerate(tokens) if token in chat.stop_tokens) + 1]


def test_a_format_shows_tools_in_the_envelope_that_its_models_know(qwen: Chat) -> None:
    text = qwen.decode(qwen.render_prompt([QUESTION], [ADD]))
    assert text.startswith("<|im_start|>system\n# Tools\n")
    assert json.dumps({"type": "function", "function": ADD}) in text


def test_a_format_without_a_place_for_tools_has_them_in_the_system_message(deepseek: Chat) -> None:
    described = (
        "You can call these tools:\n"
        '{"name": "add", "description": "Adds.", "parameters": {"type": "object", "properties": {"a": {"type": '
        '"integer"}}}}\n'
        "A call has this form: <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME\n"
        '```json\n{"ARGUMENT": "VALUE"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>'
    )
    question = "<｜User｜>What is 1 + 2?<｜Assistant｜>"
    assert deepseek.decode(deepseek.render_prompt([QUESTION], [ADD])) == (
        f"<｜begin▁of▁sentence｜>{described}{question}"
    )
    prompt = deepseek.render_prompt([{"role": "system", "content": "Be brief."}, QUESTION], [ADD])
    assert deepseek.decode(prompt) == f"<｜begin▁of▁sentence｜>Be brief.\n\n{described}{question}"


def test_calls_are_parsed_as_they_were_written(chat: Chat) -> None:
    assert chat.parse_message(sampled(chat, CALLS), tools=[ADD]) == CALLS


def test_a_message_without_calls_is_text_alone(chat: Chat) -> None:
    answer: Message = {"role": "assistant", "content": "3"}
    assert chat.parse_message(sampled(chat, answer), tools=[ADD]) == answer


def test_results_extend_what_was_sampled(chat: Chat, deepseek: Chat) -> None:
    prompt, completion = chat.render_prompt([QUESTION], [ADD]), sampled(chat, CALLS)
    extended = chat.extend(prompt, completion, RESULTS, [ADD])
    assert extended[: len(prompt) + len(completion)] == prompt + completion
    added = chat.decode(extended[len(prompt) + len(completion) :])
    assert added == ANSWERED["deepseek-v3" if chat is deepseek else "qwen3"]


def test_a_format_with_reasoning_goes_on_after_a_question_too(qwen: Chat) -> None:
    prompt, completion = qwen.render_prompt([QUESTION]), qwen.encode("<think>Hm</think>3<|im_end|>")
    extended = qwen.extend(prompt, completion, [{"role": "user", "content": "Sure?"}])
    assert qwen.decode(extended).endswith(
        "<think>Hm</think>3<|im_end|>\n<|im_start|>user\nSure?<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize(
    ("text", "name", "error"),
    [
        (
            'function<｜tool▁sep｜>add\n```json\n{"a": \n```<｜tool▁call▁end｜>',
            "add",
            "the arguments are not a JSON object",
        ),
        (
            "function<｜tool▁sep｜>add\n```json\n[1]\n```<｜tool▁call▁end｜>",
            "add",
            "the arguments are not a JSON object",
        ),
        ("add<｜tool▁call▁end｜>", "", "the call names no tool"),
        ("function<｜tool▁sep｜>add\n```json\n{}\n```", "add", "the call is not closed"),
    ],
)
def test_a_malformed_call_says_how(deepseek: Chat, text: str, name: str, error: str) -> None:
    tokens = deepseek.encode("Hm<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>" + text) + deepseek.stop_tokens
    assert deepseek.parse_message(tokens) == {
        "role": "assistant",
        "content": "Hm",
        "tool_calls": [{"id": "call_0", "name": name, "arguments": {}, "error": error}],
    }
