"""Dead letters that are replayed as docs/monitoring.md says: none is lost, none done twice.

A stand-in does what Pub/Sub documents of push subscriptions. Service and storage are real.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from testing.buckets import BucketServer, Proxy
from tests.e2e.test_bucket_trigger import _message as pushed
from tests.e2e.test_bucket_trigger import annotator, kill, small

MAX_ATTEMPTS = 2


@dataclass
class PushSubscription:
    """Delivers its messages; keeps those that are not acknowledged with a 2xx.

    Attributes:
        messages: not acknowledged, each with the number of attempts.
        dead_letters: gets what fails `MAX_ATTEMPTS` times; None: everything is tried for ever.
    """

    messages: list[tuple[dict[str, Any], int]] = field(default_factory=list)
    dead_letters: "PushSubscription | None" = None

    def publish(self, body: dict[str, Any]) -> None:
        self.messages.append((body, 0))

    def deliver(self, endpoint: str, limit: int = 100) -> list[int]:
        """Try some messages once; return the statuses, 0 for no answer."""
        tried, self.messages = self.messages[:limit], self.messages[limit:]
        return [self._deliver(endpoint, body, attempts + 1) for body, attempts in tried]

    def _deliver(self, endpoint: str, body: dict[str, Any], attempt: int) -> int:
        try:
            status = requests.post(endpoint, json=body, timeout=60).status_code
        except requests.ConnectionError:
            status = 0
        if 200 <= status < 300:
            return status
        if self.dead_letters is not None and attempt == MAX_ATTEMPTS:
            self.dead_letters.publish(_dead_letter(body))
        else:
            self.messages.append((body, attempt))
        return status


def _dead_letter(body: dict[str, Any]) -> dict[str, Any]:
    """What Pub/Sub publishes: the message with attributes about its subscription."""
    message = body["message"]
    more = {
        "CloudPubSubDeadLetterSourceDeliveryCount": str(MAX_ATTEMPTS),
        "CloudPubSubDeadLetterSourceSubscription": "age-gender-annotate-uploads",
        "CloudPubSubDeadLetterSourceSubscriptionProject": "my-project",
    }
    return {**body, "message": {**message, "attributes": {**message["attributes"], **more}}}


def test_a_replay_loses_none(tmp_path: Path) -> None:
    dead_letters = PushSubscription()
    uploads = PushSubscription(dead_letters=dead_letters)
    with BucketServer() as server, Proxy(server) as proxy:
        for number in range(4):
            uploads.publish(pushed(server.put(f"{number}.jpg", small(96))))
        settings = {"ANNOTATE_STORAGE_TIMEOUT": "0.2"}
        with annotator(tmp_path / "first", proxy.url, **settings) as service:
            proxy.failing = {"download": 503}
            for _ in range(MAX_ATTEMPTS):
                assert set(uploads.deliver(service.url)) == {503}
            assert (len(uploads.messages), len(dead_letters.messages)) == (0, 4)
            again = [body for body, _ in dead_letters.messages]

            proxy.failing = {"upload": 503}  # the cause is not gone
            assert set(dead_letters.deliver(service.url)) == {503}
            assert len(dead_letters.messages) == 4

            proxy.failing = {}
            assert dead_letters.deliver(service.url, limit=2) == [200] * 2
            kill(service)
            assert dead_letters.deliver(service.url) == [0] * 2
        with annotator(tmp_path / "second", proxy.url) as service:
            assert dead_letters.deliver(service.url) == [200] * 2
            assert dead_letters.messages == []
            results = sorted(server.names())
            assert [name.split(".")[0] for name in results] == list("0123")

            stored = proxy.count("upload", 200)
            for body in again:  # as `seek` does
                dead_letters.publish(body)
            assert dead_letters.deliver(service.url) == [200] * 4
            assert (sorted(server.names()), proxy.count("upload", 200)) == (results, stored)
