"""What a program's exit tells a script, and the one exception that carries it. `docs/cli.md` lists them."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Every exit code of `fairlead`."""

    OK = 0  # done, or in the wished state
    FOUND = 1  # problems were found, or a fleet is not in the wished state
    USAGE = 2  # the command line or the settings are wrong
    UNREACHABLE = 3  # a repository, the ledger or another system could not be reached, or refused
    STUCK = 4  # told to end, and a pass did not end in time
    DEPLOY_FAILED = 10  # what was waited for failed, was rolled back or is quarantined
    DEPLOY_ERROR = 11  # what was waited for cannot be decided, or a newer commit came before it
    DEPLOY_HELD = 12  # what was waited for is held, and the time to wait is over
    TIMED_OUT = 13  # what was waited for is not done, and the time to wait is over
    INTERRUPTED = 130  # ended by Ctrl-C


class Refused(Exception):
    """An expected end of a command: one sentence for a person, and the exit code for a script."""

    def __init__(self, sentence: str, code: ExitCode = ExitCode.USAGE) -> None:
        super().__init__(sentence)
        self.code = code
