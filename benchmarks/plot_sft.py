"""The table and the picture of docs/train-sft.md, from the run folders of a sweep over seeds.

uv run train-sft -m +experiment=sft_small eval_every=8 seed=0,1,2,3,4 run_dir=runs/sft_seeds
uv run --group plots python benchmarks/plot_sft.py runs/sft_seeds docs/sft_small.png
"""

import json
import sys
from pathlib import Path

from matplotlib.figure import Figure
from plot_main_job import Axes, Line, curve, save

EXACT, NLL = "test/exact_match", "test/nll"


def draw(axes: Axes, runs: list[list[Line]]) -> None:
    """Each curve with its band from the least to the most; the likelihood as that of a token."""
    for key, label, colour in (
        (EXACT, "answers right letter by letter", "#0b6e4f"),
        (NLL, "nats a token / 10", "#9aa5b1"),
    ):
        steps, *bands = curve(runs, key)
        mean, low, high = ([value / 10 if key == NLL else value for value in band] for band in bands)
        axes.plot(steps, mean, label=label, color=colour, marker="o")
        axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
    title = f"train-sft +experiment=sft_small, {len(runs)} seeds, held-out: mean, least and most"
    axes.set(title=title, xlabel="training step", ylabel="", ylim=(0.0, 1.02))
    axes.legend()


def table(runs: dict[str, list[Line]]) -> str:
    """A row a seed: the first and the last evaluation."""
    rows = ["| seed | nats a token, step 0 | end | right answers, step 0 | end |", "|---|---|---|---|---|"]
    for name, lines in runs.items():
        nll, exact = ([line[key] for line in lines if key in line] for key in (NLL, EXACT))
        rows.append(f"| {name} | {nll[0]:.2f} | {nll[-1]:.3f} | {exact[0]:.2f} | {exact[-1]:.2f} |")
    return "\n".join(rows)


def main() -> None:
    sweep, picture = map(Path, sys.argv[1:])
    runs = {
        path.parent.name.removeprefix("seed="): [json.loads(line) for line in path.read_text().splitlines()]
        for path in sorted(sweep.glob("*/metrics.jsonl"))
    }
    print(table(runs))
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    draw(figure.add_subplot(), list(runs.values()))
    save(figure, picture)


if __name__ == "__main__":
    main()
