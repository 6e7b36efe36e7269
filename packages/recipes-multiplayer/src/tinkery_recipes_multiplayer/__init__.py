"""Preferences and games for several players: `train-multiplayer`."""
