"""How this server says no: to the person who starts it, and to the program that calls it."""


class UserError(Exception):
    """What the person who typed the command can put right: they see the message alone (exit status 2)."""


class RequestError(Exception):
    """A request that is refused, with the HTTP status for it and a message for a JSON body."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
