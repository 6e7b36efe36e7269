"""What a mistake in a config gets: one message, exit status 2, no traceback, nothing left behind."""

from pathlib import Path

import pytest
from tinkery_demo.calling import Call

MESSAGES = {
    # Keys that no class knows
    "sed=1": "sed (command line): there is no such key in DemoConfig. Did you mean seed?",
    "+sed=1": "sed (command line): there is no such key in DemoConfig. Did you mean seed?",
    "lora_rank=3": (
        "lora_rank (command line): there is no such key in DemoConfig. Did you mean model.lora_rank?"
    ),
    "task.scle=2": "task.scle (command line): there is no such key in Count. Did you mean task.scale?",
    "task.xyzzy=2": (
        "task.xyzzy (command line): there is no such key in Count.\n"
        "Keys there: task.scale, task.noise, task.extra, task.names, task.noises"
    ),
    "modle=tiny": "modle (command line): there is no such key in DemoConfig. Did you mean model?",
    # Values of a wrong type
    "seed=one": "seed=one (command line): expected int, got the text 'one'. The default is 0.",
    "seed=1.5": "seed=1.5 (command line): expected int, got the number 1.5. The default is 0.",
    "seed=true": "seed=true (command line): expected int, got true or false. The default is 0.",
    "learning_rate=fast": (
        "learning_rate=fast (command line): expected float, got the text 'fast'. The default is 0.001."
    ),
    "model.name=3": "model.name=3 (command line): expected str, got the number 3.",
    "note=3": "note=3 (command line): expected str | null, got the number 3. The default is null.",
    "task.noise.kind=gaus": (
        "task.noise.kind=gaus (command line): expected one of none, gauss, got the text 'gaus'. "
        "Did you mean gauss? The default is none."
    ),
    "task.names=anna": (
        "task.names=anna (command line): expected list[str], got the text 'anna'. The default is []."
    ),
    "task.names=[anna,3]": (
        "task.names=[anna, 3] (command line): expected list[str], got the number 3. The default is []."
    ),
    "backend.base_url=[1]": (
        "backend.base_url=[1] (command line): expected str | null, got a list. The default is null."
    ),
    # Values that a validator refuses
    "batch_size=0": "batch_size=0 (command line): expected at least 1.",
    "task.noise.width=-1": "task.noise.width=-1.0 (command line): expected at least 0.",
    "task.scale=11": "task.scale=11.0 (command line): expected 0 to 10.",
    # Nothing is called, whatever a string names
    "task._target_=os.system": (
        "task._target_=os.system (command line): os.system is not a chz class and will not be called.\n"
        "Expected the name of a Task, e.g. tinkery_demo.script.Count or tinkery_demo.script.Train"
    ),
    "task._target_=tinkery_core.backend.LocalBackend": (
        "task._target_=tinkery_core.backend.LocalBackend (command line): tinkery_core.backend.LocalBackend "
        "is not a Task.\n"
        "Expected the name of a Task, e.g. tinkery_demo.script.Count or tinkery_demo.script.Train"
    ),
    "task._target_=tinkery_demo.script.Task": (
        "task._target_=tinkery_demo.script.Task (command line): tinkery_demo.script.Task is abstract.\n"
        "Expected the name of a Task, e.g. tinkery_demo.script.Count or tinkery_demo.script.Train"
    ),
    "task._target_=tinkery_demo.script.Cuont": (
        "task._target_=tinkery_demo.script.Cuont (command line): tinkery_demo.script has no Cuont "
        "Did you mean Count.\n"
        "Expected the name of a Task, e.g. tinkery_demo.script.Count or tinkery_demo.script.Train"
    ),
    "task._target_=nowhere.Count": (
        "task._target_=nowhere.Count (command line): there is no module nowhere.\n"
        "Expected the name of a Task, e.g. tinkery_demo.script.Count or tinkery_demo.script.Train"
    ),
    # Not said
    "~model": (
        "Not set, and without a default:\n"
        "  model.name (str): model name at the service, e.g. tinkery/tiny or Qwen/Qwen3-8B\n"
        "Type model.name=…"
    ),
    "logging.wandb.mode=offline": (
        "Not set, and without a default:\n"
        "  logging.wandb.project (str): wandb project; naming one turns tracking on\n"
        "Type logging.wandb.project=…"
    ),
    # What Hydra itself refuses
    "task=cuont": (
        "task=cuont: there is no such file task/cuont.yaml. Did you mean count?\n"
        "Options of task: count, fail, train"
    ),
    "+experiment=lnog": (
        "experiment=lnog: there is no such file experiment/lnog.yaml. Did you mean long?\n"
        "Options of experiment: long"
    ),
    "experiment=long": (
        "experiment is a config group without a default choice: type +experiment=… instead of experiment=…"
    ),
    "++task=builtins:print": "task is a config group: type task=… or +task=… to choose one of its files.",
    "task=null": "Config group override must be a string or a list. Got NoneType",
    "+task=train": "+task=… would add a second task: type task=… to replace the one there is.",
    "seed": "'seed' is not understood: expected key=value, +group=option or ~key.\nmissing EQUAL at '<EOF>'",
    "seed=1,2": "seed=1,2 names several values: add -m to run each of them, or type seed=[1,2] if it is one list.",
    "note=${nowhere}": "note refers to a key that does not exist: Interpolation key 'nowhere' not found",
    "note=???": "note has no value yet: type note=…",
    # What only a backend can know
    "backend=hosted": (
        "backend=hosted needs a key of the Tinker service, and TINKER_API_KEY is not set.\n"
        "Type `export TINKER_API_KEY=tml-…` first, or backend=local to train on this machine without a key."
    ),
}


@pytest.mark.parametrize("argument", MESSAGES)
def test_message(argument: str, call: Call, workplace: Path) -> None:
    ended = call(argument)
    assert ended.err.strip() == MESSAGES[argument]
    assert ended.status == 2
    assert list(workplace.iterdir()) == []


IN_A_FILE = {
    "task: builtins:print": (
        "task=builtins:print (conf/experiment/mine.yaml): expected Task, got the text 'builtins:print'."
    ),
    "task: {_target_: os.system, command: ls}": (
        "task._target_=os.system (conf/experiment/mine.yaml): os.system is not a chz class and will not be called.\n"
        "Expected the name of a Task, e.g. tinkery_demo.script.Count or tinkery_demo.script.Train"
    ),
    "task: {noises: [{_target_: os.system}]}": (
        "task.noises._target_=os.system (conf/experiment/mine.yaml): os.system is not a chz class and will not "
        "be called.\nExpected the name of a Noise, e.g. tinkery_demo.script.Noise"
    ),
    "task: {noises: [{kynd: none}]}": (
        "task.noises=[{'kynd': 'none'}] (conf/experiment/mine.yaml): expected tuple[Noise, ...], "
        "got a Noise with kynd. Did you mean kind? The default is []."
    ),
    "task: {noise: {width: wide}}": (
        "task.noise.width=wide (conf/experiment/mine.yaml): expected float, got the text 'wide'. "
        "The default is 1.0."
    ),
}


@pytest.mark.parametrize("text", IN_A_FILE)
def test_message_names_the_file(text: str, call: Call, workplace: Path) -> None:
    own = workplace / "conf" / "experiment" / "mine.yaml"
    own.parent.mkdir(parents=True)
    own.write_text(f"# @package _global_\n{text}\n")
    ended = call("+experiment=mine")
    assert ended.err.strip() == IN_A_FILE[text]
    assert ended.status == 2


def test_broken_yaml(call: Call, workplace: Path) -> None:
    own = workplace / "conf" / "task" / "broken.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("_target_: [")
    ended = call("task=broken")
    assert ended.status == 2
    assert ended.err.startswith("A YAML file cannot be read:\n")
    assert str(own) in ended.err
