"""One message for whatever ended a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeGuard

from tinkery_core.errors import ServiceError, UserError


@dataclass(frozen=True)
class Failure:
    """`is_usage` tells what the user typed wrong (exit status 2) from what went wrong in mid-run (1)."""

    text: str
    is_usage: bool


def describe_failure(error: BaseException) -> Failure:
    """The message of an error; of a group of errors, of the one that explains most."""
    error = most_telling(error)
    match error:
        case UserError():
            return Failure(str(error), is_usage=True)
        case ServiceError():
            return Failure(str(error), is_usage=False)
        case OSError(strerror=str(reason), filename=str(name)):
            return Failure(f"{reason}: {name}", is_usage=False)
        case _ if is_from_the_sdk(error):
            return Failure(f"The service refused a request: {in_its_words(error)}", is_usage=False)
        case _:
            return Failure(f"{type(error).__name__}: {error}", is_usage=False)


def in_its_words(error: BaseException) -> str:
    """What the service said, without what the SDK puts around it."""
    return str(error).removeprefix("Request failed: ").partition(" for self.request_id=")[0]


def is_from_the_sdk(error: BaseException) -> bool:
    """Whether the service refused something, or could not be reached (asked by name: the SDK may not be imported)."""
    return type(error).__module__.partition(".")[0] == "tinker"


def most_telling(error: BaseException) -> BaseException:
    """The error itself; of a group of errors, the one that explains most."""
    leaves = _leaves(error)
    for kind in (UserError, ServiceError):
        for leaf in leaves:
            if isinstance(leaf, kind):
                return leaf
    return next(filter(is_from_the_sdk, leaves), leaves[0])


def _leaves(error: BaseException) -> list[BaseException]:
    if not _is_group(error):
        return [error]
    return [leaf for member in error.exceptions for leaf in _leaves(member)]


def _is_group(error: BaseException) -> TypeGuard[BaseExceptionGroup[BaseException]]:
    return isinstance(error, BaseExceptionGroup)
