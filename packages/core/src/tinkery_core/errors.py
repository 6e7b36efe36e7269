"""The two errors that users meet: theirs to correct (exit status 2) and the service's (exit status 1)."""


class UserError(Exception):
    """What was typed cannot work. The message names the key, the value, what was expected and what to type next.

    Scripts exit with status 2 and print the message alone, without a traceback.
    """


class ServiceError(Exception):
    """The training or sampling service failed in mid-run: a killed server, a refused request, a lost network.

    Scripts exit with status 1 and print the message and how to resume, without a traceback.
    """
