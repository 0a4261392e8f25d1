"""Threads that come at once share one transaction: a commit costs the same for one name and for twenty."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

from sqlalchemy.exc import SQLAlchemyError

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Together(Generic[Item, Answer]):
    """Runs items by batches: whoever is next takes along all who wait by then. Nobody waits for more to come."""

    def __init__(self, run: Callable[[Sequence[Item]], Sequence[Answer]]) -> None:
        self._run = run
        self._waiting: list[tuple[Item, Future[Answer]]] = []
        self._guard, self._turn = Lock(), Lock()

    def ask(self, item: Item) -> Answer:
        """The item's answer. Raises what `run` raised for its batch."""
        mine: Future[Answer] = Future()
        with self._guard:
            self._waiting.append((item, mine))
        with self._turn:
            if not mine.done():
                with self._guard:
                    batch, self._waiting = self._waiting, []
                self._answer(batch)
        return mine.result()

    def _answer(self, batch: Sequence[tuple[Item, Future[Answer]]]) -> None:
        try:
            for (_, future), answer in zip(batch, self._run([item for item, _ in batch]), strict=True):
                future.set_result(answer)
        except SQLAlchemyError as error:
            for _, future in batch:
                future.set_exception(error)
        finally:
            for _, future in batch:
                future.cancel()  # an error that nobody foresaw must not leave the others waiting
