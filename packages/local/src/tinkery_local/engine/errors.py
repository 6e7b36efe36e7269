"""The one error that a caller of the engine can cause."""


class EngineError(Exception):
    """A request, a model folder or a checkpoint that the engine cannot serve; its message is meant for the user."""
