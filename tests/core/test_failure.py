"""One message for whatever ended a run."""

import pytest
import tinker
from tinker.types import RequestErrorCategory
from tinkery_core.errors import ServiceError, UserError
from tinkery_core.failure import Failure, describe_failure


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (UserError("seed=x: expected int."), Failure("seed=x: expected int.", is_usage=True)),
        (ServiceError("It is gone."), Failure("It is gone.", is_usage=False)),
        (
            OSError(28, "No space left on device", "runs/a/metrics.jsonl"),
            Failure("No space left on device: runs/a/metrics.jsonl", is_usage=False),
        ),
        (
            tinker.RequestFailedError(
                "Request failed: max_tokens is 9. for self.request_id='a:1' and expected type self.model_cls=<class>",
                request_id="a:1",
                category=RequestErrorCategory.User,
            ),
            Failure("The service refused a request: max_tokens is 9.", is_usage=False),
        ),
        (
            ExceptionGroup(
                "", [RuntimeError("cancelled with it"), ExceptionGroup("", [ServiceError("It is gone.")])]
            ),
            Failure("It is gone.", is_usage=False),
        ),
    ],
)
def test_the_most_telling_error_in_its_own_words(error: Exception, failure: Failure) -> None:
    assert describe_failure(error) == failure
