"""Ports for servers that a test starts, and whether they answer."""

from __future__ import annotations

import contextlib
import random
import socket
import urllib.request

# Between the ports of Ray's workers (10002 to 19999) and those that Linux gives out itself (from 32768 on). One that was free
# a moment ago is thus not given to a connection of another test, or to a server that asked for any port, before it is used.
_PORTS = range(20000, 32768)


def free_ports(count: int) -> list[int]:
    """`count` different ports of 127.0.0.1 on which nobody listens."""
    drawn = random.Random()  # of the machine's own noise: processes that draw at once draw different ones
    found: list[int] = []
    with contextlib.ExitStack() as held:
        while len(found) < count:
            one, port = held.enter_context(socket.socket()), drawn.choice(_PORTS)
            with contextlib.suppress(OSError):
                one.bind(("127.0.0.1", port))
                found.append(port)
    return found


def answers(url: str) -> bool:
    """Whether a server answers there, within seconds, that all is well."""
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:
        return bool(answer.status == 200)
    return False
