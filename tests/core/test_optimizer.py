"""The schedule's equation, for all lengths, and Adam's settings as the service names them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tinkery_core.optimizer import OptimizerConfig

lengths = st.integers(1, 500)


def rates(config: OptimizerConfig, num_steps: int) -> list[float]:
    return [config.learning_rate(1.0, step, num_steps) for step in range(num_steps)]


def test_schedules_by_hand() -> None:
    assert rates(OptimizerConfig(warmup_steps=2), 4) == [0.5, 1.0, 1.0, 1.0]
    assert rates(OptimizerConfig(schedule="linear"), 4) == [1.0, 0.75, 0.5, 0.25]
    assert rates(OptimizerConfig(schedule="linear", final_fraction=0.5), 2) == [1.0, 0.75]
    assert rates(OptimizerConfig(schedule="cosine", warmup_steps=1), 3) == pytest.approx([1.0, 1.0, 0.5])


@given(st.sampled_from(["constant", "linear", "cosine"]), lengths, st.integers(0, 100), st.floats(0, 1))
def test_every_step_has_a_rate_up_to_the_peak(
    schedule: str, num_steps: int, warmup_steps: int, final_fraction: float
) -> None:
    shapes = {
        name: OptimizerConfig(schedule=name, warmup_steps=warmup_steps, final_fraction=final_fraction)
        for name in ("constant", "linear", "cosine")
    }
    for step, rate in enumerate(rates(shapes[schedule], num_steps)):
        assert 0 < rate <= 1 + 1e-12
        if step >= warmup_steps:
            assert rate >= final_fraction - 1e-12


@given(st.sampled_from(["linear", "cosine"]), lengths)
def test_after_the_warm_up_the_rate_only_falls(schedule: str, num_steps: int) -> None:
    config = (
        OptimizerConfig(schedule="linear") if schedule == "linear" else OptimizerConfig(schedule="cosine")
    )
    falling = rates(config, num_steps)
    assert falling == sorted(falling, reverse=True)


def test_all_settings_reach_the_service() -> None:
    adam = OptimizerConfig(beta1=0.8, beta2=0.9, eps=1e-6, weight_decay=0.1, grad_clip_norm=2.0).adam_params(
        3.0
    )
    assert adam.model_dump() == {
        "learning_rate": 3.0,
        "beta1": 0.8,
        "beta2": 0.9,
        "eps": 1e-6,
        "weight_decay": 0.1,
        "grad_clip_norm": 2.0,
    }
