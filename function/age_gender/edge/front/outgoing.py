"""An answer that is on its way to the client."""

import socket
from collections import deque

from age_gender.edge.front.messages import Answer

SEND_BYTES = 256 * 1024
"""Handed to the kernel at a time."""
JOINED_BYTES = 64 * 1024
"""Up to which head and body are sent as one piece."""


class OutgoingAnswer:
    """Sends an answer as far as the client takes it.

    Attributes:
        sent: bytes so far.
        progress: when the client last took any.
    """

    def __init__(self, answer: Answer, now: float, *, keep_alive: bool, with_body: bool):
        """Send nothing yet.

        Args:
            answer: to be sent; closed by `release`.
            now: the clock's.
            keep_alive: whether the connection stays open afterwards.
            with_body: false for ``HEAD``.
        """
        pieces = [answer.head(keep_alive=keep_alive), *(answer.body if with_body else ())]
        if sum(map(len, pieces)) <= JOINED_BYTES:
            pieces = [b"".join(pieces)]
        self._answer = answer
        self._left = deque(memoryview(piece) for piece in pieces)
        self.sent = 0
        self.progress = now

    def send(self, connection: socket.socket, now: float) -> bool:
        """Send what the client takes; return whether that is all.

        Raises:
            OSError: the connection broke.
        """
        try:
            while self._left:
                sent = connection.send(self._left[0][:SEND_BYTES])
                self.sent += sent
                self.progress = now
                self._left[0] = self._left[0][sent:]
                if not self._left[0]:
                    self._left.popleft()
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Give back what the answer holds."""
        self._left.clear()
        self._answer.close()
