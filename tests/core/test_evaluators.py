"""Evaluators of one's own: from YAML or the command line to numbers under `test/<name>/`."""

import json
from collections.abc import Mapping
from pathlib import Path

import chz
import pytest
import tinker
from tinkery_core.backend import LocalBackend
from tinkery_core.completers import MessageCompleter
from tinkery_core.config.compose import compose
from tinkery_core.config.explain import explain
from tinkery_core.config.loader import make_loader
from tinkery_core.config.resolve import rebuild, resolve
from tinkery_core.config.sources import Sources
from tinkery_core.errors import UserError
from tinkery_core.evaluators import EvaluationError, EvaluatorBuilder, build_evaluators
from tinkery_core.function_evaluator import FunctionEvaluator
from tinkery_core.launch import Script
from tinkery_core.model import ModelConfig
from tinkery_core.nll_evaluator import NLLEvaluator
from tinkery_core.run import open_run
from tinkery_demo.calling import NO_SERVER, Call
from tinkery_demo.script import Count, DemoConfig
from tinkery_local.testing import RunningServer

FUNCTION = "tinkery_core.function_evaluator.FunctionEvaluator"
NLL = "tinkery_core.nll_evaluator.NLLEvaluator"
MODEL = ModelConfig(name="tinkery/tiny", renderer="deepseek-v3")


async def shortness(completer: MessageCompleter) -> Mapping[str, float]:
    answer = await completer([{"role": "user", "content": "What is 3 + 4?"}])
    return {"shortness": 1 / (1 + len(answer["content"])), "num_asked": 1}


async def words(completer: MessageCompleter) -> Mapping[str, object]:
    del completer
    return {"answer": "seven"}


async def broken(completer: MessageCompleter) -> Mapping[str, float]:
    del completer
    raise ZeroDivisionError("no problems were graded")


def not_async(completer: MessageCompleter) -> Mapping[str, float]:
    del completer
    return {}


async def of_two(completer: MessageCompleter, task: str) -> Mapping[str, float]:
    del completer, task
    return {}


def config_with(**evaluators: EvaluatorBuilder) -> DemoConfig:
    return DemoConfig(
        run_dir="here", backend=LocalBackend(), model=MODEL, task=Count(), evaluators=evaluators
    )


async def evaluate(server: RunningServer, **evaluators: EvaluatorBuilder) -> dict[str, float]:
    metrics: dict[str, float] = {}
    async with LocalBackend(base_url=server.url)(Path(), [MODEL.name]).connect() as service:
        client: tinker.SamplingClient = await service.create_sampling_client(base_model=MODEL.name)
        for evaluator in build_evaluators(config_with(**evaluators), max_tokens=8, temperature=0.0):
            metrics |= await evaluator(client)
    return metrics


def composed_with(demo: Script, *overrides: str) -> tuple[DemoConfig, Sources]:
    composed = compose(make_loader(demo.conf, None), demo.config_name, demo.name, list(overrides))
    return resolve(DemoConfig, composed), composed.sources


def test_named_in_yaml_and_on_the_command_line(demo: Script, workplace: Path) -> None:
    own = workplace / "conf" / "experiment" / "mine.yaml"
    own.parent.mkdir(parents=True)
    own.write_text(
        f"# @package _global_\nevaluators:\n  chats:\n    _target_: {NLL}\n    file: chats.jsonl\n"
    )
    config, sources = composed_with(
        demo,
        "run_dir=here",
        NO_SERVER,
        "+experiment=mine",
        f"+evaluators.short._target_={FUNCTION}",
        "evaluators.short.function=my.module:score",
        "evaluators.chats.file=others.jsonl",
    )
    assert config.evaluators == {
        "chats": NLLEvaluator(file="others.jsonl"),
        "short": FunctionEvaluator(function="my.module:score"),
    }
    rows = {row.key: row for row in explain(config, sources)}
    assert (rows["evaluators.chats"].value, rows["evaluators.chats"].source) == (
        "NLLEvaluator",
        "conf/experiment/mine.yaml",
    )
    assert rows["evaluators.chats.file"].source == "command line"
    assert rows["evaluators.short.max_tokens"].doc.startswith("tokens of an answer")
    with open_run(config):
        pass
    for name in ("config.json", "config.yaml"):
        assert rebuild(workplace / "here" / name, DemoConfig) == config


MISTAKES = {
    "evaluators.x.function=a:b": (
        "evaluators.x (command line) does not say which EvaluatorBuilder it is.\n"
        "Type evaluators.x=… to choose one, or add evaluators.x._target_=… with the name of a class."
    ),
    f"+evaluators.x={{_target_: {FUNCTION}, functoin: a}}": (
        "evaluators.x.functoin (command line): there is no such key in FunctionEvaluator. "
        "Did you mean evaluators.x.function?"
    ),
    f"+evaluators.x={{_target_: {FUNCTION}, function: 'a:b', max_tokens: 0}}": (
        "evaluators.x.max_tokens=0 (command line): expected at least 1."
    ),
    f"+evaluators.x._target_={FUNCTION}": (
        "Not set, and without a default:\n"
        "  evaluators.x.function (str): package.module:name of "
        "`async def name(completer: MessageCompleter) -> dict[str, float]`\n"
        "Type evaluators.x.function=…"
    ),
    "+evaluators.x=nll": (
        "evaluators.x=nll (command line): expected EvaluatorBuilder, got the text 'nll'.\n"
        "Type evaluators.x._target_=… with the name of a class."
    ),
    "+evaluators={a/b: {file: x}}": (
        "evaluators (command line): 'a/b' is no name there. Use letters, digits, - and _."
    ),
    "evaluatrs.x.file=y": (
        "evaluatrs (command line): there is no such key in DemoConfig. Did you mean evaluators?"
    ),
    "evaluators=nll": (
        "evaluators is a config group without a default choice: type +evaluators=… instead of evaluators=…"
    ),
}


@pytest.mark.parametrize("argument", MISTAKES)
def test_a_mistake_names_its_key(argument: str, call: Call) -> None:
    ended = call(argument)
    assert (ended.status, ended.err.strip()) == (2, MISTAKES[argument])


def test_nothing_is_called_for_its_name(call: Call) -> None:
    ended = call("+evaluators.x._target_=os.system")
    assert ended.status == 2
    assert ended.err.startswith(
        "evaluators.x._target_=os.system (command line): os.system is not a chz class and will not be called.\n"
    )


async def test_a_function_of_the_policy(server: RunningServer) -> None:
    metrics = await evaluate(server, mine=FunctionEvaluator(function=f"{__name__}:shortness", max_tokens=4))
    assert metrics.keys() == {"test/mine/shortness", "test/mine/num_asked"}
    assert 0 < metrics["test/mine/shortness"] < 1


UNFIT = {
    "shortness": "it names no function in a module",
    "nowhere.at_all:shortness": "there is no module nowhere.at_all",
    f"{__name__}:shortnes": f"{__name__} has no shortnes Did you mean shortness",
    f"{__name__}:not_async": "not_async is no async function",
    f"{__name__}:of_two": "of_two cannot be called with a completer alone",
}


@pytest.mark.parametrize("name", UNFIT)
def test_what_is_no_function_of_the_policy(name: str) -> None:
    with pytest.raises(UserError) as error:
        build_evaluators(config_with(x=FunctionEvaluator(function=name)), max_tokens=8, temperature=0.0)
    assert str(error.value) == (
        f"evaluators.x.function={name}: {UNFIT[name]}.\n"
        "Expected package.module:name of an `async def name(completer: MessageCompleter) -> dict[str, float]`, "
        "in a package that is installed or on PYTHONPATH."
    )


async def test_a_failure_names_the_evaluator(server: RunningServer) -> None:
    with pytest.raises(EvaluationError) as failed:
        await evaluate(server, mine=FunctionEvaluator(function=f"{__name__}:broken"))
    assert str(failed.value) == "evaluators.mine failed: ZeroDivisionError: no problems were graded"
    with pytest.raises(EvaluationError) as refused:
        await evaluate(server, mine=FunctionEvaluator(function=f"{__name__}:shortness", max_tokens=100_000))
    assert str(refused.value).startswith("evaluators.mine failed: The service refused a request: ")
    with pytest.raises(UserError) as unfit:
        await evaluate(server, mine=FunctionEvaluator(function=f"{__name__}:words"))
    assert str(unfit.value) == (
        f"evaluators.mine.function={__name__}:words is to return numbers by their names, "
        "and returned the text 'seven' as answer."
    )


async def test_likelihood_of_given_answers(server: RunningServer, workplace: Path) -> None:
    """The right answer is likelier than a wrong one, and both forms of a row are the same chat."""
    for name, answer in (("right", "7"), ("wrong", "95")):
        rows = [
            {"prompt": "What is 3 + 4?", "completion": answer},
            {
                "messages": [
                    {"role": "user", "content": "What is 3 + 4?"},
                    {"role": "assistant", "content": answer},
                ]
            },
        ]
        workplace.joinpath(name).write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    metrics = await evaluate(server, right=NLLEvaluator(file="right"), wrong=NLLEvaluator(file="wrong"))
    assert 0 < metrics["test/right/nll"] < metrics["test/wrong/nll"]
    # Two targets each: the digit (or two of them), and the end of the message.
    assert metrics["test/right/nll_per_example"] == pytest.approx(2 * metrics["test/right/nll"])
    assert metrics["test/right/bits_per_byte"] == pytest.approx(
        metrics["test/right/nll_per_example"] / 0.6931471805599453
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"messages": []}\n', "line 1: no message is the assistant's"),
        (
            '{"prompt": "?", "completion": "!"}\n\n{"prompt": "?"}',
            "line 3: there are neither messages, nor a prompt",
        ),
        (
            '{"messages": [{"role": "bot", "content": "!"}]}',
            "line 1: message 0 is no object with a role (system,",
        ),
        ("{", "line 1: Expecting property name"),
        ("\n", "has no rows."),
    ],
)
def test_a_malformed_row_is_named_by_its_line(text: str, message: str, workplace: Path) -> None:
    workplace.joinpath("chats.jsonl").write_text(text)
    with pytest.raises(UserError) as error:
        build_evaluators(config_with(x=NLLEvaluator(file="chats.jsonl")), max_tokens=8, temperature=0.0)
    assert str(error.value).startswith(f"evaluators.x.file: chats.jsonl {message}")


def test_a_missing_file() -> None:
    with pytest.raises(UserError, match=r"evaluators.x.file=nowhere: there is no such file"):
        build_evaluators(config_with(x=NLLEvaluator(file="nowhere")), max_tokens=8, temperature=0.0)


def test_a_builder_is_data() -> None:
    assert chz.is_chz(NLLEvaluator(file="x"))
