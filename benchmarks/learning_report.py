"""From the curves of many runs to the table, the picture and the numbers of docs/learning.md."""

import json
import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from matplotlib.figure import Figure

REWARD, HELD_OUT = "env/all/reward/total", "test/env/all/reward/total"
GOAL = 0.8
BEGIN, END = "<!-- written by benchmarks/learning.py -->", "<!-- end -->"
TITLES = {
    "streamed": "grpo, streamed",
    "off_policy_1": "grpo, off-policy K=1",
    "off_policy_3": "grpo, off-policy K=3",
}
COLOURS = ("#0b6e4f", "#d1495b", "#30638e", "#edae49")

Points = Sequence[tuple[int, float]]
Values = list[float]


@dataclass(frozen=True)
class Curves:
    """Rewards of one run by step: on held-out problems, and of the rollouts that were trained on."""

    held_out: Points
    reward: Points

    @property
    def final(self) -> float:
        return self.held_out[-1][1]

    @property
    def best(self) -> float:
        return max(value for _, value in self.held_out)

    @property
    def steps_to_goal(self) -> int | None:
        """Steps trained before the first rollouts whose mean reward reached the goal."""
        return next((step for step, value in self.reward if value >= GOAL), None)


Runs = Mapping[str, Mapping[int, Curves]]
"""By variant, then by seed."""


def standard_error(values: Sequence[float]) -> float:
    """Of the mean; 0 for a single value, which shows no spread."""
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0


def _row(title: str, runs: Mapping[int, Curves]) -> str:
    finals = [curves.final for curves in runs.values()]
    steps = [curves.steps_to_goal for curves in runs.values()]
    reached = [step for step in steps if step is not None]
    median = f"{statistics.median(reached):g}" if reached else "–"
    if len(reached) < len(steps):
        median += f" ({len(reached)} of {len(steps)} runs)"
    start = statistics.mean(curves.held_out[0][1] for curves in runs.values())
    best = statistics.mean(curves.best for curves in runs.values())
    final = f"{statistics.mean(finals):.3f}" + (f" ± {standard_error(finals):.3f}" if len(finals) > 1 else "")
    return f"| {title} | {start:.3f} | {final} | {min(finals):.3f} | {best:.3f} | {median} |"


def table(runs: Runs, algorithms: Sequence[str], modes: Sequence[str]) -> str:
    """Markdown: a row an algorithm, then a row a mode."""
    first = next(iter(runs.values()))
    seeds, steps = sorted(first), next(iter(first.values())).held_out[-1][0]
    lines = [
        f"Seeds: {', '.join(map(str, seeds))}. Training steps: {steps}.",
        "",
        f"| | start | end | worst seed | best | steps to {GOAL:g} |",
        "|---|---|---|---|---|---|",
        *[_row(f"`algorithm={name}`", runs[name]) for name in algorithms if name in runs],
        *[_row(TITLES[name], runs[name]) for name in modes if name in runs and name in TITLES],
    ]
    return "\n".join(lines)


class Axes(Protocol):
    """What is used of matplotlib's axes, whose own types leave the keyword arguments open."""

    def plot(self, x: list[int], y: Values, /, *, label: str, color: str) -> object: ...
    def errorbar(
        self, x: Values, y: list[int], /, *, xerr: Values, fmt: str, color: str, capsize: int
    ) -> object: ...
    def fill_between(
        self, x: list[int], low: Values, high: Values, /, *, color: str, alpha: float, linewidth: float
    ) -> object: ...
    def set_yticks(self, ticks: list[int], /, *, labels: list[str]) -> object: ...
    def set(self, *, title: str, xlabel: str) -> object: ...
    def invert_yaxis(self) -> object: ...
    def legend(self) -> object: ...
    def grid(self, *, alpha: float) -> object: ...


class Canvas(Protocol):
    """What is used of matplotlib's figure."""

    def savefig(self, file: Path, /, *, dpi: int) -> object: ...


def draw_finals(axes: Axes, runs: Runs, order: Sequence[str]) -> None:
    """The mean reward at the end, with the standard error over seeds, of each variant."""
    finals = [[curves.final for curves in runs[name].values()] for name in order]
    means, errors = (
        [statistics.mean(values) for values in finals],
        [standard_error(values) for values in finals],
    )
    axes.errorbar(means, [*range(len(order))], xerr=errors, fmt="o", color=COLOURS[0], capsize=3)
    axes.set_yticks([*range(len(order))], labels=[TITLES.get(name, name) for name in order])
    axes.invert_yaxis()
    axes.grid(alpha=0.3)
    axes.set(title="at the end, ± standard error", xlabel="reward on held-out problems")


def draw_curves(axes: Axes, runs: Runs, modes: Sequence[str]) -> None:
    """The reward of each step's rollouts, with a band of one standard error over seeds, of each mode."""
    for name, colour in zip(modes, COLOURS, strict=False):
        columns = list(zip(*[curves.reward for curves in runs[name].values()], strict=True))
        steps = [column[0][0] for column in columns]
        values = [[value for _, value in column] for column in columns]
        means, errors = [statistics.mean(v) for v in values], [standard_error(v) for v in values]
        low = [mean - error for mean, error in zip(means, errors, strict=True)]
        high = [mean + error for mean, error in zip(means, errors, strict=True)]
        axes.plot(steps, means, label=TITLES.get(name, "grpo, on-policy"), color=colour)
        axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.grid(alpha=0.3)
    axes.legend()
    axes.set(title="rollouts of each step, by mode", xlabel="training step")


def draw(runs: Runs, algorithms: Sequence[str], modes: Sequence[str], picture: Path) -> None:
    """Both panels side by side."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    order = [*algorithms, *(mode for mode in modes if mode not in algorithms)]
    draw_finals(figure.add_subplot(1, 2, 1), runs, [name for name in order if name in runs])
    draw_curves(figure.add_subplot(1, 2, 2), runs, [name for name in modes if name in runs])
    _save(figure, picture)


def _save(canvas: Canvas, picture: Path) -> None:
    canvas.savefig(picture, dpi=120)


def write_report(runs: Runs, algorithms: Sequence[str], modes: Sequence[str], docs: Path) -> None:
    """Write learning.png and learning.json into the folder, and the table into its learning.md, if there is one."""
    text = table(runs, algorithms, modes)
    print(f"\n{text}")
    draw(runs, algorithms, modes, docs / "learning.png")
    numbers = {
        name: {
            seed: {k: [[s, round(v, 4)] for s, v in points] for k, points in asdict(curves).items()}
            for seed, curves in by_seed.items()
        }
        for name, by_seed in runs.items()
    }
    (docs / "learning.json").write_text(json.dumps(numbers) + "\n")
    document = docs / "learning.md"
    if document.exists():
        around = re.compile(f"(?<={re.escape(BEGIN)}\n).*?(?={re.escape(END)})", re.DOTALL)
        document.write_text(around.sub(lambda _: f"{text}\n", document.read_text()))
