"""Field validators for chz classes, for `chz.field(validator=…)`.

Each raises ValueError with a message that starts with the value; the bridge puts the key and its source in front.
"""

from collections.abc import Callable


def at_least(minimum: float) -> Callable[[object, str], None]:
    """The field is None or a number of at least `minimum`."""

    def check(config: object, name: str) -> None:
        value: int | float | None = getattr(config, name)
        if value is not None and not value >= minimum:
            raise ValueError(f"{value} is too small: expected at least {minimum}")

    return check


def more_than(bound: float) -> Callable[[object, str], None]:
    """The field is None or a number above `bound`."""

    def check(config: object, name: str) -> None:
        value: int | float | None = getattr(config, name)
        if value is not None and not value > bound:
            raise ValueError(f"{value} is too small: expected more than {bound}")

    return check


def between(low: float, high: float) -> Callable[[object, str], None]:
    """The field is None or a number from `low` to `high`, both included."""

    def check(config: object, name: str) -> None:
        value: int | float | None = getattr(config, name)
        if value is not None and not low <= value <= high:
            raise ValueError(f"{value} is out of range: expected {low} to {high}")

    return check
