"""The picture of the README: reward of `grpo_small` over several seeds, from what `main_job.py` recorded.

uv run python benchmarks/main_job.py --record main_job.json
uv run --group plots python benchmarks/plot_main_job.py main_job.json docs/grpo_small.png
"""

import json
import statistics
import sys
from pathlib import Path
from typing import Protocol

from matplotlib.figure import Figure

SAMPLED, HELD_OUT = "env/all/reward/total", "test/env/all/reward/total"

Line = dict[str, float]


class Axes(Protocol):
    """What is used of matplotlib's axes, whose own types leave the keyword arguments open."""

    def plot(self, x: list[int], y: list[float], /, *, label: str, color: str, marker: str) -> object: ...
    def fill_between(
        self,
        x: list[int],
        low: list[float],
        high: list[float],
        /,
        *,
        color: str,
        alpha: float,
        linewidth: float,
    ) -> object: ...
    def set(self, *, title: str, xlabel: str, ylabel: str, ylim: tuple[float, float]) -> object: ...
    def legend(self) -> object: ...


class Canvas(Protocol):
    """What is used of matplotlib's figure."""

    def savefig(self, file: Path, /, *, dpi: int) -> object: ...


def curve(runs: list[list[Line]], key: str) -> tuple[list[int], list[float], list[float], list[float]]:
    """Steps with this metric; its mean, minimum and maximum over the runs at each of them."""
    steps = [int(line["step"]) for line in runs[0] if key in line]
    values = [[line[key] for line in run if key in line] for run in runs]
    columns = list(zip(*values, strict=True))
    return steps, [statistics.mean(c) for c in columns], [min(c) for c in columns], [max(c) for c in columns]


def draw(axes: Axes, runs: list[list[Line]]) -> None:
    """Both curves, each with its band from the least to the most."""
    for key, label, colour, marker in (
        (SAMPLED, "rollouts of the step", "#9aa5b1", ""),
        (HELD_OUT, "held-out problems", "#0b6e4f", "o"),
    ):
        steps, mean, low, high = curve(runs, key)
        axes.plot(steps, mean, label=label, color=colour, marker=marker)
        axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
    title = f"train-math +experiment=grpo_small, {len(runs)} seeds: mean, least and most"
    axes.set(title=title, xlabel="training step", ylabel="reward", ylim=(0.0, 1.02))
    axes.legend()


def save(canvas: Canvas, picture: Path) -> None:
    canvas.savefig(picture, dpi=150)


def main() -> None:
    record, picture = map(Path, sys.argv[1:])
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    draw(figure.add_subplot(), json.loads(record.read_text()))
    save(figure, picture)


if __name__ == "__main__":
    main()
