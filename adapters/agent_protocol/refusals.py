"""Why something that was read is not acted on."""

from enum import StrEnum


class RefusalReason(StrEnum):
    """The codes that agents report and people search for."""

    MALFORMED = "OrderMalformed"  # not an order of a format that this version reads
    UNKNOWN_KEY = "OrderKeyUnknown"  # signed with a key that the host does not trust
    TAMPERED = "OrderTampered"  # the signature is not that of the content
    MISADDRESSED = "OrderMisaddressed"  # signed for another fleet
    EXPIRED = "OrderExpired"
    REPLAYED = "OrderReplayed"  # a lower sequence than one that was accepted before
    NOT_YET = "OrderFromTheFuture"  # issued later than the host's clock: one of the two clocks is wrong


class Refused(Exception):
    """Bytes that are not believed. The message is one sentence for people."""

    def __init__(self, reason: RefusalReason, message: str, sequence: int = 0) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.sequence = sequence  # as the document says, 0 where it cannot be told
