"""A road on which the process dies."""

from typing import Any

from adapters.forges.hosted import Transport


class Killed(BaseException):
    """The process is gone."""


class Mortal(Transport):
    """Dies after so many calls, when the answer is on its way."""

    left = 1_000_000

    def send(self, *asked: Any) -> Any:
        answer = super().send(*asked)
        self.left -= 1
        if self.left < 1:
            raise Killed
        return answer
