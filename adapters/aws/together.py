"""Several reads at the same time, with a limit for the whole: who holds a lease needs time to say what is wrong."""

from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from datetime import timedelta
from typing import TypeVar

from reconciler.ports import Unreadable

Found = TypeVar("Found")


def read_together(reads: Mapping[str, Callable[[], Found]], within: timedelta) -> list[Found]:
    """The answers, in the order of the reads, which are named by what they read ("the order of prod/checkout").

    Raises what the first failing one raised, and `Unreadable` where not all have answered in time. Those that have not
    are left alone: they end by their own time-outs, and nobody hears of it.
    """
    pool = ThreadPoolExecutor(max_workers=max(1, len(reads)))
    try:
        asked = {pool.submit(read): what for what, read in reads.items()}
        done, late = wait(asked, within.total_seconds(), FIRST_EXCEPTION)
        for future in done:
            future.result()
        if late:
            slow = ", ".join(what for future, what in asked.items() if future in late)
            raise Unreadable(f"cannot read {slow}: no answer within {within.total_seconds():g} s; check the network")
        return [future.result() for future in asked]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
