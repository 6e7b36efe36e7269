"""Config bridge, backends, chat, completers, run folder, metrics and evaluators of tinkery."""
