"""Environments, rollouts, advantages, datums and the reinforcement-learning trainer of tinkery."""
