"""What `dry_run=true` shows of an RL run, from its rendered first batch, without any service."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tinkery_core.plan import print_plan

from tinkery_rl.calls import call_env, clean_up
from tinkery_rl.rollouts import gather
from tinkery_rl.watchdog import watchdog

if TYPE_CHECKING:
    from tinkery_rl.config import RLConfig
    from tinkery_rl.types import Env, EnvGroupBuilder, RLDatasets

NUM_SAMPLES = 3


async def print_rl_plan(config: RLConfig, datasets: RLDatasets, num_steps: int) -> None:
    """Print how many steps, prompts and tokens the run has, and its first prompts as the policy will see them.

    Raises RolloutError if an environment fails.
    """
    seconds = config.rollouts.max_call_seconds
    with watchdog(seconds):
        prompts_P_G = await gather(
            [
                _first_prompts(f"batch 0, group {p}", builder, seconds)
                for p, builder in enumerate(datasets.train.get_batch(0))
            ]
        )
    num_episodes = sum(len(prompts_G) for prompts_G in prompts_P_G)
    num_prompt_tokens = sum(len(prompt) for prompts_G in prompts_P_G for prompt in prompts_G)
    num_sampled = num_episodes * config.max_tokens
    test = datasets.test
    num_tests = 0 if test is None else sum(len(test.get_batch(index)) for index in range(len(test)))
    rows = {
        "steps": num_steps,
        "loss": config.loss.name,
        "groups a batch": len(prompts_P_G),
        "batches a step, at most": config.batches_per_step,
        "episodes a batch": num_episodes,
        "prompt tokens of a first turn": num_prompt_tokens,
        "sampled tokens of a turn, at most": num_sampled,
        "trained tokens after one turn, at most": num_prompt_tokens + num_sampled - num_episodes,
        "held-out groups an evaluation": num_tests,
    }
    chat = config.model.load_chat()
    print_plan(
        "reinforcement learning", rows, [chat.decode(prompts_G[0]) for prompts_G in prompts_P_G[:NUM_SAMPLES]]
    )


async def _first_prompts(name: str, builder: EnvGroupBuilder, seconds: float) -> list[list[int]]:
    """The first prompt of each member; of seats that wait for each other, of the one that moves first."""
    maker = type(builder).__name__
    try:
        envs = await call_env(f"{name}: {maker}.make_envs", builder.make_envs, seconds)
        first = [
            asyncio.ensure_future(call_env(_place(name, member, env), env.initial_observation, seconds))
            for member, env in enumerate(envs)
        ]
        if not builder.members_interact:
            return [observation.tokens for observation in await gather(first)]
        done, waiting = await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        for seat in waiting:
            seat.cancel()
        await asyncio.wait(first)
        return [seat.result().tokens for seat in done]
    finally:
        await clean_up(f"{name}: {maker}.cleanup", builder.cleanup, seconds)


def _place(name: str, member: int, env: Env) -> str:
    return f"{name}, member {member}: {type(env).__name__}.initial_observation"
