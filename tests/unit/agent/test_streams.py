"""What S3 sends: as it comes in, not slower than it may, and not in the way of who interrupts."""

import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from threading import Event, Thread
from typing import Any

import botocore.session
import pytest
from botocore.config import Config

from fairlead_agent.orders import Orders
from fairlead_agent.streams import pieces
from fairlead_agent.trouble import Interrupted, Trouble

SIZE = 900_000


@pytest.fixture
def trickle() -> Iterator[Any]:
    """An S3 client whose object comes in byte by byte."""
    over = Event()

    def serve(listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection = listening.accept()[0]
                Thread(target=drip, args=(connection,), daemon=True).start()

    def drip(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65536)
            connection.sendall(f'HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\nETag: "a"\r\n\r\n'.encode())
            while not over.wait(0.01):
                connection.sendall(b"a")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        Thread(target=serve, args=(listening,), daemon=True).start()
        client = botocore.session.Session().create_client(
            "s3",
            region_name="us-east-1",
            endpoint_url=f"http://127.0.0.1:{listening.getsockname()[1]}",
            aws_access_key_id="a",
            aws_secret_access_key="b",
            config=Config(s3={"addressing_style": "path"}),
        )
        yield client
        client.close()
        over.set()
        listening.shutdown(socket.SHUT_RDWR)


def ended(read: Any) -> list[BaseException]:
    """What a thread that reads is ended by, within a while."""
    found: list[BaseException] = []

    def go() -> None:
        try:
            read()
        except (Trouble, Interrupted) as error:
            found.append(error)

    thread = Thread(target=go, daemon=True)
    thread.start()
    thread.join(15.0)
    return found


def test_who_interrupts_is_heard_though_bytes_come_in(trickle: Any) -> None:
    stop, came = Event(), list[bytes]()

    def read() -> None:
        with closing(trickle.get_object(Bucket="b-1", Key="k")["Body"]) as body:
            for piece in pieces(body, "download it", stop):
                came.append(piece)
                stop.set()

    assert [Interrupted] == [type(error) for error in ended(read)]
    assert came


def test_what_comes_in_too_slowly_is_trouble_of_the_road(trickle: Any) -> None:
    with closing(trickle.get_object(Bucket="b-1", Key="k")["Body"]) as body:
        (error,) = ended(lambda: list(pieces(body, "download it", Event(), patience=0.1)))

    assert "cannot download it: it comes in at less than 65536 bytes in 0.1 s" == str(error)


def test_an_order_that_trickles_holds_nobody_up(trickle: Any, clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairlead_agent.orders.WITHIN", 0.1)
    found: list[str] = []
    orders = Orders(lambda: trickle, "b-1", "prod/mm", dict)

    assert [] == ended(lambda: found.append(orders.look(clock.now(), 0, "").trouble))
    assert ["cannot read s3://b-1/orders/prod/mm.json: it comes in at less than 65536 bytes in 0.1 s"] == found
