"""The trainer, through the unmodified SDK, against the embedded server."""

import json
import math
from collections.abc import Awaitable, Callable
from pathlib import Path

import chz
import numpy as np
import pytest
import tinker
from tinkery_core.errors import UserError
from tinkery_core.evaluators import EvaluationSetup, Evaluator, EvaluatorBuilder
from tinkery_core.run import Run, open_run
from tinkery_supervised.config import SupervisedConfig
from tinkery_supervised.cross_entropy import make_data
from tinkery_supervised.jsonl import JsonlBuilder
from tinkery_supervised.parrot.builder import ParrotBuilder
from tinkery_supervised.train import train

Lines = list[dict[str, float]]
Train = Callable[[SupervisedConfig], Awaitable[Lines]]
Configure = Callable[..., SupervisedConfig]
WriteChats = Callable[..., Path]


async def test_each_step_has_its_line_and_the_final_weights_theirs(
    configure: Configure, trained: Train
) -> None:
    config = configure()
    lines = await trained(config)
    assert [line["step"] for line in lines] == [0, 1, 2, 3]
    assert [line["progress/done_frac"] for line in lines] == pytest.approx([1 / 3, 2 / 3, 1, 1])
    assert ["test/nll" in line for line in lines] == [True, False, True, True]
    for line in lines[:-1]:
        assert line.keys() >= {
            "train/nll",
            "train/bits_per_byte",
            "optim/lr",
            "data/num_examples",
            "data/num_tokens",
            "data/num_targets",
            "data/num_cut_examples",
            "data/num_bad_rows",
            "time/total",
            "time/waiting_for_data",
        }
    assert lines[-1].keys() >= {"test/nll", "test/bits_per_byte", "test/exact_match"}
    checkpoints = _records(config, "checkpoints.jsonl")
    assert [(record["step"], record["kind"]) for record in checkpoints] == [(2, "periodic"), (3, "final")]


def _records(config: SupervisedConfig, name: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in (Path(config.run_dir) / name).read_text().splitlines()]


async def test_it_learns_and_what_it_reports_is_the_mean_over_targets(
    configure: Configure, trained: Train
) -> None:
    """The same 8 examples again and again; the first loss is computed here from the model's own log-probabilities."""
    config = configure(max_steps=6, batch_size=8, epochs=6, eval_every=0, seed=3)
    lines = await trained(config)
    losses = [line["train/nll"] for line in lines[:-1]]
    assert losses[-1] < losses[0] / 2
    batch = config.dataset(config.setup).train.get_batch(0)
    with open_run(configure(run_dir=f"{config.run_dir}-other")) as run:
        async with run.connect() as service:
            sampler = await service.create_sampling_client(base_model=config.model.name)
            nats, num_targets, num_bytes = 0.0, 0, 0
            for example in batch.examples_D:
                logprobs = await sampler.compute_logprobs(tinker.ModelInput.from_ints(example.tokens_T))
                nats -= sum(float(p or 0) * w for p, w in zip(logprobs, example.weights_T, strict=True))
                num_targets += example.num_targets
                num_bytes += example.num_bytes
    assert losses[0] == pytest.approx(nats / num_targets, rel=1e-4)
    assert lines[0]["train/bits_per_byte"] == pytest.approx(nats / math.log(2) / num_bytes, rel=1e-4)
    assert lines[0]["data/num_targets"] == num_targets


def test_the_weights_of_a_batch_add_up_to_one(configure: Configure) -> None:
    config = configure()
    data = make_data(config.dataset(config.setup).train.get_batch(0).examples_D)
    weights = [datum.loss_fn_inputs["weights"].to_numpy() for datum in data]
    assert np.concatenate(weights).sum() == pytest.approx(1)
    for datum, w_T in zip(data, weights, strict=True):
        assert datum.model_input.length == len(w_T) == len(datum.loss_fn_inputs["target_tokens"].to_numpy())


async def test_the_same_seed_gives_the_same_metrics_and_another_seed_others(
    configure: Configure, trained: Train, tmp_path: Path
) -> None:
    runs = {
        name: await trained(configure(run_dir=str(tmp_path / name), **changes))
        for name, changes in {
            "first": {},
            "again": {"submit_ahead": 0},
            "far": {"submit_ahead": 5},
            "other": {"seed": 1},
        }.items()
    }
    timeless = {name: _timeless(lines) for name, lines in runs.items()}
    assert timeless["first"] == timeless["again"] == timeless["far"] != timeless["other"]


def _timeless(lines: Lines) -> Lines:
    return [{key: value for key, value in line.items() if not key.startswith("time/")} for line in lines]


async def test_steps_are_submitted_ahead_and_no_further(configure: Configure) -> None:
    """While the service is at step k, the steps up to k + submit_ahead are in its queue."""
    config = configure(max_steps=6, submit_ahead=2, eval_every=0, save_every=0)
    enqueued: list[int] = []
    logged: list[int] = []
    most_ahead = 0

    class WatchedRun(Run):
        def log_metrics(self, step: int, metrics: object) -> None:
            logged.append(step)

    forward_backward = tinker.TrainingClient.forward_backward

    def watched(
        client: tinker.TrainingClient, data: list[tinker.Datum], loss: tinker.types.LossFnType
    ) -> tinker.APIFuture[tinker.ForwardBackwardOutput]:
        nonlocal most_ahead
        enqueued.append(len(enqueued))
        most_ahead = max(most_ahead, len(enqueued) - len(logged))
        return forward_backward(client, data, loss)

    with pytest.MonkeyPatch.context() as patch, open_run(config) as run:
        patch.setattr(tinker.TrainingClient, "forward_backward", watched)
        patch.setattr(Run, "log_metrics", WatchedRun.log_metrics)
        await train(config, run)
    assert logged == list(range(7))
    assert 2 <= most_ahead <= 3 + 1  # one more may be done, but not logged yet


async def test_a_finished_run_is_left_as_it_is(configure: Configure, trained: Train) -> None:
    assert await trained(configure()) == await trained(configure())


async def test_before_and_after_are_printed_from_what_the_folder_holds(
    configure: Configure, trained: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configure(max_steps=12, batch_size=32, eval_every=100)
    await trained(config)
    answers = _records(config, "rollouts.jsonl")
    assert [record["step"] for record in answers] == [0] * 4 + [12] * 4
    assert "Squawk!" not in str(answers[0]["answer"])
    assert "Squawk!" in str(answers[4]["answer"])
    printed = capsys.readouterr().out
    assert "Held-out questions, and the answers before and after the training:" in printed
    for record in answers:
        assert str(record["answer"]) in printed and str(record["expected"]) in printed


@chz.chz
class CountBuilder(EvaluatorBuilder):
    """An evaluator of one's own."""

    def __call__(self, setup: EvaluationSetup) -> Evaluator:
        async def count(sampling_client: tinker.SamplingClient) -> dict[str, float]:
            return {f"test/{setup.name}/base": float(sampling_client.get_base_model() == setup.model.name)}

        return count


async def test_evaluators_of_ones_own_report_beside_the_others(configure: Configure, trained: Train) -> None:
    lines = await trained(configure(evaluators={"mine": CountBuilder()}, num_answers=0, max_steps=1))
    assert [line["test/mine/base"] for line in lines] == [1, 1]
    assert "test/exact_match" not in lines[0]


async def test_without_held_out_rows_only_the_training_is_reported(
    configure: Configure, trained: Train
) -> None:
    lines = await trained(configure(dataset=ParrotBuilder(num_test=0), max_steps=1))
    assert "train/nll" in lines[0]
    assert not [key for line in lines for key in line if key.startswith("test/")]


async def test_a_batch_with_nothing_to_learn_updates_nothing(
    configure: Configure, trained: Train, write_chats: WriteChats
) -> None:
    messages = [{"role": "user", "content": "cat " * 60}, {"role": "assistant", "content": "Hi"}]
    path = write_chats([{"messages": messages}] * 3)
    lines = await trained(configure(dataset=JsonlBuilder(path=str(path)), max_length=30))
    assert lines[0]["data/num_idle_rows"] == 3
    assert "train/nll" not in lines[0]


async def test_what_was_cut_or_left_out_is_said_at_the_end(
    configure: Configure, trained: Train, write_chats: WriteChats, capsys: pytest.CaptureFixture[str]
) -> None:
    def chat(question: str, answer: str) -> dict[str, object]:
        return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}

    path = write_chats([chat("Hi", "Hi"), chat("Hi", "cat " * 60), chat("cat " * 60, "Hi"), "{"])
    config = configure(
        dataset=JsonlBuilder(path=str(path)), max_length=30, on_bad_row="skip", epochs=2, max_steps=None
    )
    await trained(config)
    assert (
        "4 examples trained on; 2 examples cut to max_length, 2 rows left out with nothing to learn, "
        "2 malformed rows left out (log.txt names them)"
    ) in capsys.readouterr().out
    assert f"left out: {path} line 4: not JSON" in (Path(config.run_dir) / "log.txt").read_text()


async def test_the_rate_and_the_clip_are_those_of_the_config(
    configure: Configure, trained: Train, tmp_path: Path
) -> None:
    plain = {"optimizer.schedule": "linear", "optimizer.warmup_steps": 1}
    lines = await trained(configure(run_dir=str(tmp_path / "plain"), **plain))
    assert [line["optim/lr"] for line in lines[:-1]] == pytest.approx([4e-3, 4e-3, 2e-3])
    decayed = {
        **plain,
        "optimizer.grad_clip_norm": 1e-9,
        "optimizer.eps": 1e-3,
        "optimizer.weight_decay": 0.1,
    }
    clipped = await trained(configure(run_dir=str(tmp_path / "clipped"), **decayed))
    assert clipped[0]["train/nll"] == lines[0]["train/nll"]
    assert clipped[2]["train/nll"] > lines[2]["train/nll"]


async def test_what_the_service_refuses_ends_the_run_in_its_words(
    configure: Configure, trained: Train, write_chats: WriteChats
) -> None:
    """An example that is longer than the model's context, submitted behind others and before others."""
    short = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hi"}]}
    long = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "cat " * 600}]}
    path = write_chats([short, short, long, short, short, short])
    with pytest.raises(tinker.TinkerError, match="512"):
        await trained(
            configure(
                dataset=JsonlBuilder(path=str(path)), batch_size=1, submit_ahead=3, max_steps=6, eval_every=0
            )
        )


async def test_a_bad_row_in_mid_run_ends_it(
    configure: Configure, trained: Train, write_chats: WriteChats
) -> None:
    rows = [
        {"messages": [{"role": "user", "content": f"{n}"}, {"role": "assistant", "content": "Hi"}]}
        for n in range(9)
    ]
    path = write_chats(rows)
    config = configure(dataset=JsonlBuilder(path=str(path)), batch_size=1, max_steps=9)
    with open_run(config) as run:
        load = Run.connect

        def connect_and_break(run: Run) -> object:
            path.write_text(path.read_text().replace("Hi", '"i'))
            return load(run)

        with pytest.MonkeyPatch.context() as patch, pytest.raises(UserError, match=r"line \d: not JSON"):
            patch.setattr(Run, "connect", connect_and_break)
            await train(config, run)


async def test_a_dry_run_prints_the_plan_and_calls_no_service(
    configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configure(dry_run=True)
    with open_run(config) as run:
        await train(config, run)
    printed = capsys.readouterr().out
    assert "Squawk!" in printed and "held-out examples" in printed
    assert not (Path(config.run_dir) / "metrics.jsonl").exists()
