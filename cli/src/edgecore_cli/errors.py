"""What a command tells its user when it cannot do its work."""


class CommandFailed(Exception):
    """One readable line for stderr; `details` are further lines, such as the end of a log."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details
