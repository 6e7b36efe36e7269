"""Conversations: which tokens are learned, and what is said of rows that are none."""

import json

import pytest
from tinkery_core.chat import Chat
from tinkery_core.model import ModelConfig
from tinkery_supervised.answers import last_question
from tinkery_supervised.conversations import TrainOn, parse_conversation, render_example
from tinkery_supervised.messages import Malformed
from tinkery_supervised.types import BadRow, Example

USER, END = "<｜User｜>", "<｜end▁of▁sentence｜>"
TALK: list[object] = [
    {"role": "system", "content": "You are Ada."},
    {"role": "user", "content": "Hello!"},
    {"role": "assistant", "content": "Hello! How are you?"},
    {"role": "user", "content": "Sort: 3 1 2"},
    {"role": "assistant", "content": "1 2 3"},
]


@pytest.fixture(scope="module")
def chat() -> Chat:
    return ModelConfig(name="tinkery/tiny", renderer="deepseek-v3").load_chat()


def example(messages: list[object], train_on: TrainOn, chat: Chat, max_length: int | None = None) -> Example:
    made = render_example(parse_conversation({"messages": messages}, "here", train_on), chat, max_length)
    assert isinstance(made, Example)
    return made


def learned(made: Example, chat: Chat) -> list[str]:
    """The text of each run of learned tokens."""
    runs: list[list[int]] = [[]]
    for token, weight in zip(made.tokens_T, made.weights_T, strict=True):
        if weight:
            runs[-1].append(token)
        elif runs[-1]:
            runs.append([])
    return [chat.decode(run) for run in runs if run]


@pytest.mark.parametrize(
    ("train_on", "texts"),
    [
        ("all_assistants", [f"Hello! How are you?{END}", f"1 2 3{END}"]),
        ("last_assistant", [f"1 2 3{END}"]),
        ("chosen", [f"Hello! How are you?{END}", f"1 2 3{END}"]),
    ],
)
def test_the_assistants_words_and_their_end_are_learned(
    train_on: TrainOn, texts: list[str], chat: Chat
) -> None:
    made = example(TALK, train_on, chat)
    assert learned(made, chat) == texts
    assert made.num_bytes == len("".join(texts).replace(END, ""))
    assert made.num_cut == 0


def test_a_weight_of_zero_takes_a_message_out_where_messages_are_chosen(chat: Chat) -> None:
    messages = [*TALK[:2], {"role": "assistant", "content": "No!", "weight": 0}, *TALK[3:]]
    assert learned(example(messages, "chosen", chat), chat) == [f"1 2 3{END}"]


def test_what_is_learned_is_all_the_same_tokens_that_inference_would_sample(chat: Chat) -> None:
    made = example(TALK, "all_assistants", chat)
    question = last_question(made)
    assert question is not None
    assert question.prompt == chat.render_prompt(
        [{"role": "system", "content": "You are Ada."}, {"role": "user", "content": "Hello!"},
         {"role": "assistant", "content": "Hello! How are you?"}, {"role": "user", "content": "Sort: 3 1 2"}]
    )  # fmt: skip
    assert chat.parse(question.expected) == "1 2 3"


def test_a_cut_is_counted_and_leaves_the_rest_as_it_was(chat: Chat) -> None:
    whole, cut = example(TALK, "all_assistants", chat), example(TALK, "all_assistants", chat, max_length=20)
    assert cut.tokens_T == whole.tokens_T[:20]
    assert cut.num_cut == len(whole.tokens_T) - 20
    assert last_question(cut) is None


def test_a_first_token_is_never_a_target(chat: Chat) -> None:
    assert example(TALK, "all_assistants", chat).weights_T[0] == 0


def test_bytes_are_those_of_utf_8(chat: Chat) -> None:
    made = example([TALK[1], {"role": "assistant", "content": "Grüße"}], "all_assistants", chat)
    assert made.num_bytes == 7


def test_text_parts_tools_and_reasoning_are_taken(chat: Chat) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": json.dumps({"a": 1})}}
    row: dict[str, object] = {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Add"}, {"type": "text", "text": " 1."}]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "content": "2", "tool_call_id": "1", "name": "add"},
            {"role": "assistant", "content": "2", "reasoning_content": "Easy."},
        ],
        "tools": [
            {"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": {}}}
        ],
    }
    conversation = parse_conversation(row, "here", "last_assistant")
    assert [message["content"] for message in conversation.messages] == ["Add 1.", "", "2", "2"]
    assert conversation.messages[1].get("tool_calls") == [call]
    assert conversation.messages[2].get("tool_call_id") == "1"
    assert conversation.messages[3].get("reasoning_content") == "Easy."
    assert conversation.tools == [{"name": "add", "description": "Adds.", "parameters": {}}]
    assert conversation.learned == [False, False, False, True]


USER_SAYS = {"role": "user", "content": "Hi"}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ([], "expected an object with messages, got an empty list"),
        ({"text": "Hi"}, "messages: expected a list of messages, got nothing"),
        ({"messages": []}, "messages: expected a list of messages, got an empty list"),
        ({"messages": "Hi"}, "messages: expected a list of messages, got text"),
        ({"messages": ["Hi"]}, "message 0: expected an object, got text"),
        (
            {"messages": [{"content": "Hi"}]},
            "message 0: role None is none of system, user, assistant, tool",
        ),
        (
            {"messages": [{"role": "bot", "content": "Hi"}]},
            "message 0: role 'bot' is none of system, user",
        ),
        ({"messages": [{"role": "user", "content": 3}]}, "message 0: content is the number 3, expected text"),
        ({"messages": [{"role": "user"}]}, "message 0: content is nothing, expected text"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "message 0: content has a part that is no text, and only text is trained",
        ),
        ({"messages": [{**USER_SAYS, "name": 3}]}, "message 0: name is the number 3, expected text"),
        ({"messages": [USER_SAYS]}, "there is no assistant message to learn from"),
        (
            {"messages": [USER_SAYS, {"role": "assistant", "content": "Hi", "weight": 1}]},
            "message 1 has a weight, which only train_on=chosen looks at",
        ),
        (
            {"messages": [USER_SAYS, {"role": "assistant", "content": "", "tool_calls": [{"id": "1"}]}]},
            "message 1: a tool call needs function.name and function.arguments",
        ),
        ({"messages": [USER_SAYS], "tools": "add"}, "there is no assistant message to learn from"),
        (
            {
                "messages": [USER_SAYS, {"role": "assistant", "content": "Hi"}],
                "tools": [{"type": "function"}],
            },
            "tool 0 has no name",
        ),
    ],
)
def test_a_malformed_row_says_what_is_wrong_with_it(row: object, reason: str) -> None:
    with pytest.raises(Malformed) as raised:
        parse_conversation(row, "here", "all_assistants")
    assert str(raised.value).startswith(reason)


def test_a_weight_is_zero_or_one() -> None:
    row = {"messages": [USER_SAYS, {"role": "assistant", "content": "Hi", "weight": 0.5}]}
    with pytest.raises(Malformed, match=r"message 1: weight is 0\.5, expected 0 or 1"):
        parse_conversation(row, "here", "chosen")


def test_what_a_chat_format_cannot_render_is_a_bad_row(monkeypatch: pytest.MonkeyPatch) -> None:
    chat = ModelConfig(name="tinkery/tiny", renderer="deepseek-v3").load_chat()

    def refuse(*_: object, **__: object) -> None:
        raise ValueError("System message must be at the beginning.")

    monkeypatch.setattr(chat.renderer, "render", refuse)
    made = render_example(
        parse_conversation({"messages": TALK}, "a.jsonl line 3", "all_assistants"), chat, None
    )
    assert isinstance(made, BadRow)
    assert str(made) == (
        "a.jsonl line 3: the chat format cannot render it: System message must be at the beginning."
    )


def test_the_bundled_conversations_are_what_their_script_writes() -> None:
    from tinkery_supervised.parrot import make

    assert make.PATH.read_text() == make.text()
    rows = [json.loads(line) for line in make.PATH.read_text().splitlines()]
    questions = [
        message["content"] for row in rows for message in row["messages"] if message["role"] == "user"
    ]
    assert len(questions) == len(set(questions))
