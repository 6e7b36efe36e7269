"""Field validators for chz classes, for `chz.field(validator=…)`."""

from collections.abc import Callable

Check = Callable[[object, str], None]


class InvalidValue(ValueError):
    """A field holds a value of the right type that makes no sense. The bridge adds the key and its source."""

    def __init__(self, name: str, value: object, expected: str) -> None:
        self.field = name.removeprefix("X_")  # chz's name for a field before munging
        self.value = value
        self.expected = expected
        super().__init__(f"{self.field}={value}: expected {expected}")


def at_least(minimum: float) -> Check:
    """The field is None or a number of at least `minimum`."""
    return _check(lambda value: value >= minimum, f"at least {minimum}")


def more_than(bound: float) -> Check:
    """The field is None or a number above `bound`."""
    return _check(lambda value: value > bound, f"more than {bound}")


def between(low: float, high: float) -> Check:
    """The field is None or a number from `low` to `high`, both included."""
    return _check(lambda value: low <= value <= high, f"{low} to {high}")


def _check(accepts: Callable[[float], bool], expected: str) -> Check:
    def check(config: object, name: str) -> None:
        value: float | None = getattr(config, name)
        if value is not None and not accepts(value):
            raise InvalidValue(name, value, expected)

    return check
