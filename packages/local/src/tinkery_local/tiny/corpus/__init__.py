"""The synthetic corpus: the registry of its tasks. A new skill is a new module and one more line here."""

from tinkery_local.tiny.corpus import addition, chat, colours, counting, echo, letter_case, lists, yes_no
from tinkery_local.tiny.corpus.task import Task

TASKS: tuple[Task, ...] = (
    addition.TASK,
    addition.EXERCISES,
    chat.TASK,
    colours.TASK,
    counting.TASK,
    echo.TASK,
    letter_case.TASK,
    lists.TASK,
    yes_no.TASK,
)
