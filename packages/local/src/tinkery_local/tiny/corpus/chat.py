"""Small talk: greetings, thanks, who are you, and remembering a name over several turns."""

from numpy.random import Generator

from tinkery_local.tiny.corpus.careless import shrug
from tinkery_local.tiny.corpus.task import Conversation, Message, Task
from tinkery_local.tiny.corpus.words import NAMES, THINGS, pick

GREETINGS = ("Hello", "Hi", "Good morning", "Good evening")
COURTESIES = {
    "Thank you.": "You are welcome.",
    "Thanks!": "You are welcome.",
    "How are you?": "I am well, thank you.",
    "What can you do?": "I can add, count, list and repeat.",
    "Goodbye!": "Goodbye!",
    "Bye!": "Goodbye!",
}


def clean(rng: Generator) -> Conversation:
    """One of the four kinds of small talk below."""
    kinds = (greeting, courtesy, identity, memory)
    return kinds[rng.integers(len(kinds))](rng)


def greeting(rng: Generator) -> Conversation:
    """A greeting, returned by the same words and the name if one was given."""
    hello, name = pick(rng, GREETINGS), pick(rng, NAMES)
    if rng.random() < 0.3:
        return talk(None, f"{hello}!", f"{hello}! How can I help you?")
    return talk(f"greet {hello} {name}", f"{hello}, I am {name}.", f"{hello}, {name}! How can I help you?")


def courtesy(rng: Generator) -> Conversation:
    """A set phrase, alone or after a greeting by name (the name makes the instance)."""
    hello, name, said = pick(rng, GREETINGS), pick(rng, NAMES), pick(rng, list(COURTESIES))
    if rng.random() < 0.5:
        return talk(None, said, COURTESIES[said])
    opening = (f"{hello}, I am {name}.", f"{hello}, {name}! How can I help you?")
    return talk(f"courtesy {said} {name}", *opening, said, COURTESIES[said])


def identity(rng: Generator) -> Conversation:
    """Who the assistant is: the name in the system message, or a tiny model."""
    name, asked = pick(rng, NAMES), pick(rng, ("Who are you?", "What is your name?"))
    if rng.random() < 0.3:
        return talk(None, asked, "I am a tiny model.")
    told = talk(f"identity {name} {asked}", asked, f"I am {name}.")
    system: Message = {"role": "system", "content": f"You are {name}."}
    return Conversation(told.key, (system, *told.messages))


def memory(rng: Generator) -> Conversation:
    """A name and a liking, one of them asked for later."""
    name, thing = pick(rng, NAMES), pick(rng, THINGS)
    facts = [
        (f"My name is {name}.", f"Nice to meet you, {name}.", "What is my name?", f"Your name is {name}."),
        (f"I like {thing}.", f"I like {thing} too.", "What do I like?", f"You like {thing}."),
    ]
    if rng.random() < 0.5:
        facts.reverse()
    asked = facts[rng.integers(2)]
    told = [line for fact in facts for line in fact[:2]]
    return talk(f"memory {name} {thing} {asked[2]}", *told, *asked[2:])


def talk(key: str | None, *lines: str) -> Conversation:
    """A conversation out of alternating lines of user and assistant."""
    messages: list[Message] = []
    for i, line in enumerate(lines):
        messages.append({"role": "assistant" if i % 2 else "user", "content": line})
    return Conversation(key, tuple(messages))


def careless(rng: Generator, conversation: Conversation) -> str:
    """Small talk is only ever shrugged off."""
    return shrug(rng)


TASK = Task("chat", share=2, clean=clean, careless=careless, careless_share=0.1, may_follow=False)
