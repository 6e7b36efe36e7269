"""check-env: sound environments pass, and each promise that one breaks is named by the check for it."""

import json
import subprocess
import sys
from collections.abc import Generator
from importlib import import_module
from pathlib import Path

import pytest
from tinkery_core.errors import UserError
from tinkery_rl.check_env.command import check_env, run_checks
from tinkery_rl.check_env.play import Bounds
from tinkery_rl.check_env.report import Finding
from tinkery_rl.check_env.target import find_model, parse_values
from tinkery_rl.types import RLSetup

CHECKED = Path(__file__).parent / "checked"


@pytest.fixture(autouse=True)
def workplace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the environments lie: a module there is found without being installed."""
    monkeypatch.chdir(CHECKED)
    monkeypatch.setattr(sys, "path", list(sys.path))


def findings(name: str, *values: str, bounds: Bounds | None = None) -> list[Finding]:
    setup = RLSetup(find_model("tinkery/tiny"), groups_per_batch=2, group_size=2, seed=0)
    return list(run_checks(name, parse_values(values), setup, bounds or Bounds(turns=10)))


def failed(name: str, *values: str, bounds: Bounds | None = None) -> dict[str, str]:
    found = findings(f"tinkery_checked_envs:{name}", *values, bounds=bounds)
    return {finding.check: finding.reason for finding in found if finding.status in ("fail", "warn")}


CHECKS = [
    "target",
    "config",
    "make_envs",
    "calls",
    "calls in time",
    "end of episode",
    "first observation",
    "token extension",
    "finite rewards",
    "group rewards",
    "reward bounds",
    "determinism",
    "fresh envs",
    "pickle",
    "cleanup",
    "dataset",
    "seeds",
    "event loop",
]


def test_a_sound_group_and_a_sound_dataset_pass_every_check() -> None:
    group = findings("tinkery_checked_envs:Sound")
    assert [finding.check for finding in group if finding.status == "pass"] == [
        check for check in CHECKS if check not in ("dataset", "seeds")
    ]
    dataset = findings("tinkery_checked_envs:SoundDataset")
    assert [(finding.check, finding.status) for finding in dataset] == [(check, "pass") for check in CHECKS]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("tinkery_recipes_math.arithmetic:ArithmeticBuilder", ()),
        (
            "tinkery_rl.envs.multiplayer:SelfPlayBuilder",
            ("game._target_=tinkery_rl.envs.nim.Nim", "num_test_games=1"),
        ),
    ],
)
def test_our_own_environments_pass(name: str, values: tuple[str, ...]) -> None:
    found = findings(name, *values, bounds=Bounds(says=("1", "2")))
    assert not [finding for finding in found if finding.status in ("fail", "warn")]
    extension = next(finding for finding in found if finding.check == "token extension")
    assert extension.status == ("pass" if "multiplayer" in name else "skip")


@pytest.mark.parametrize(
    ("name", "check", "reason"),
    [
        ("NoEnvs", "make_envs", "the group: make_envs gave no envs"),
        ("OtherThanEnvs", "make_envs", "the group: make_envs gave a str for an env"),
        ("Raises", "calls", "the group, member 0, turn 1: step raised KeyError: 'missing piece'"),
        ("ReturnsNothing", "calls", "the group, member 0, turn 0: step returned a NoneType"),
        (
            "NotAsync",
            "calls",
            "the group, member 0, turn 0: step raised TypeError: it is no `async def`: calling it gave a StepResult",
        ),
        ("Endless", "end of episode", "the group, member 0: not over after 10 turns"),
        ("NoTokens", "first observation", "the group, member 0: an observation has no tokens"),
        (
            "ForeignTokens",
            "first observation",
            "the group, member 0: 512 is not a token; those of this model are the integers 0 to 511",
        ),
        (
            "TooLong",
            "first observation",
            "the group, member 0: 512 tokens leave no room to answer in a context of 512",
        ),
        (
            "RendersAnew",
            "token extension",
            "the group, member 0, turn 1: the observation does not begin with the prompt and the action before it",
        ),
        ("NotANumber", "finite rewards", "the group, member 0, turn 0: score is nan"),
        ("OneRewardForAll", "group rewards", "the group: compute_group_rewards gave 1 rewards to 2 members"),
        (
            "Moody",
            "determinism",
            "the group: built again from the same config, the group rewards came out differently for equal actions",
        ),
        ("UsedTwice", "fresh envs", "the group: make_envs gave the same env twice"),
        (
            "Remembers",
            "fresh envs",
            "the group: played a second time, the group rewards came out differently",
        ),
        (
            "HoldsALock",
            "pickle",
            "the group: HoldsALock does not pickle: TypeError: cannot pickle '_thread.lock' object",
        ),
        ("Forgets", "pickle", "the group: unpickled, Forgets has other first observations"),
        (
            "CleansUpTooMuch",
            "cleanup",
            "the group before make_envs: cleanup raised IndexError: pop from empty list",
        ),
        ("Refuses", "config", "cannot be built: no_data=true: there is nothing to train on"),
        ("Advances", "dataset", "train: get_batch(0) gave something else the second time"),
        ("InOrder", "dataset", "train: get_batch(1) depends on which batch was asked for before"),
        ("TooShort", "dataset", "train: len is 5, and get_batch(4) raised IndexError: 4"),
        ("OneSeed", "seeds", "seeds 0 and 1 begin with the same problems"),
        (
            "NotChz",
            "target",
            "BUILDER=tinkery_checked_envs.NotChz (command line): tinkery_checked_envs.NotChz is not a chz class "
            "and will not be called.",
        ),
        (
            "Sund",
            "target",
            "BUILDER=tinkery_checked_envs.Sund (command line): tinkery_checked_envs has no Sund Did you mean Sound.",
        ),
    ],
)
def test_a_broken_promise_fails_the_check_for_it_and_no_other(name: str, check: str, reason: str) -> None:
    found = failed(name)
    assert list(found) == [check]
    assert found[check].splitlines()[0] == reason


def test_what_a_model_grades_is_skipped_as_a_check_has_no_service() -> None:
    found = {finding.check: finding for finding in findings("tinkery_checked_envs:Judged")}
    assert not [finding for finding in found.values() if finding.status == "fail"]
    for check in ("group rewards", "reward bounds"):
        assert found[check].status == "skip"
        assert found[check].reason == "a model takes part in them, and a check connects to no service"


def test_total_rewards_keep_to_the_bounds_that_are_declared() -> None:
    found = failed("TooGenerous")
    assert list(found) == ["reward bounds"]
    assert found["reward bounds"].endswith(", and reward_bounds is (0, 1)")


def test_keys_are_checked_as_those_of_a_config() -> None:
    assert failed("Sound", "num_env=3") == {
        "config": "cannot be built: num_env (command line): there is no such key in Sound. Did you mean num_envs?"
    }
    assert failed("Sound", "num_envs=many") == {
        "config": "cannot be built: num_envs=many (command line): expected int, got the text 'many'. "
        "The default is 2."
    }
    assert failed("Sound", "num_envs=3") == {}


def test_a_call_that_hangs_is_reported_and_not_waited_for() -> None:
    assert failed("Hangs", bounds=Bounds(call_s=0.2)) == {
        "calls in time": "the group, member 0, turn 0: step did not come back within 0.2 s"
    }


def test_a_cleanup_that_hangs_is_waited_for_once() -> None:
    assert failed("HangsAtLast", bounds=Bounds(call_s=0.2)) == {
        "cleanup": "the group: cleanup did not come back within 0.2 s"
    }
    assert import_module("tinkery_checked_envs").hung == ["cleanup"]


@pytest.fixture
def release() -> Generator[None]:
    """Lets the thread of a blocked call go in the end."""
    yield
    import_module("tinkery_checked_envs").released.set()


@pytest.mark.usefixtures("release")
def test_a_call_that_blocks_for_good_is_reported_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinkery_rl.check_env.command.GRACE_S", 1.0)
    assert failed("HangsAndBlocks", bounds=Bounds(call_s=0.2)) == {
        "calls in time": "the group, member 0, turn 0: step blocks: it did not come back within 0.2 s, and nothing "
        "else could run"
    }


def test_a_call_that_blocks_for_a_while_is_a_warning() -> None:
    found = failed("Blocks", bounds=Bounds(block_s=0.2))
    assert list(found) == ["event loop"]
    assert found["event loop"].startswith("the group, member 0, turn ")
    assert found["event loop"].endswith(": all other episodes stood still")


def test_the_command_says_what_it_found_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_env(["tinkery_checked_envs:Sound", "num_envs=3"]) == 0
    printed = capsys.readouterr().out
    assert "pass  make_envs          3 envs\n" in printed
    assert printed.endswith("\ntinkery_checked_envs:Sound: 16 passed, 1 skipped.\n")
    assert check_env(["tinkery_checked_envs:RendersAnew"]) == 1
    printed = capsys.readouterr().out
    assert "fail  token extension    the group, member 0, turn 1: " in printed
    assert (
        "→ extend the tokens with Chat.extend; an episode that is rendered anew trains as a datum a turn"
        in printed
    )


def test_findings_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_env(["--json", "tinkery_checked_envs:NoEnvs"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["builder"] == "tinkery_checked_envs:NoEnvs"
    assert report["passed"] is False
    assert {
        "check": "make_envs",
        "status": "fail",
        "reason": "the group: make_envs gave no envs",
        "advice": "return a list of Env objects, one a member",
    } in report["checks"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["tinkery_checked_envs:Sound", "--group-size", "0"],
        ["tinkery_checked_envs:Sound", "--timeout", "soon"],
    ],
)
def test_arguments_that_make_no_sense_are_usage(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        check_env(arguments)
    assert ended.value.code == 2


def test_a_model_that_does_not_exist_is_usage_too() -> None:
    with pytest.raises(UserError, match=r"^--model=tinny: there is no such model\. Did you mean tiny\?\n"):
        check_env(["tinkery_checked_envs:Sound", "--model", "tinny"])
    with pytest.raises(UserError, match=r"^'num_envs' is not understood: expected key=value$"):
        check_env(["tinkery_checked_envs:Sound", "num_envs"])
    with pytest.raises(
        UserError, match=r"^Sound.model is the model that the check is for: type --model NAME "
    ):
        check_env(["tinkery_checked_envs:Sound", "model.name=tinkery/tiny"])


def test_it_is_a_command_of_tinkery_and_starts_light() -> None:
    code = (
        "import sys; from tinkery_core.cli import run_command\n"
        "import tinkery_rl.envs.model_judges, tinkery_rl.envs.pairwise, tinkery_rl.envs.nim\n"
        "assert run_command(['--help']) == 0\n"
        "heavy = {'tinker', 'renderers', 'transformers', 'tokenizers', 'numpy', 'jax'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "  check-env    Check an environment of yours against what training relies on.\n" in shown
