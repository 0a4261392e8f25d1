"""A process that ends right before it writes."""


class Crash(BaseException):
    """The process ends here."""


class Mortal:
    """A ledger under a process that ends right before it writes for the `dies_at`th time."""

    def __init__(self, ledger, dies_at):
        self._ledger, self._left = ledger, dies_at

    def __getattr__(self, name):
        return getattr(self._ledger, name)

    def intend(self, *arguments):
        self._write()
        return self._ledger.intend(*arguments)

    def save(self, *arguments):
        self._write()
        return self._ledger.save(*arguments)

    def _write(self):
        self._left -= 1
        if not self._left:
            raise Crash
