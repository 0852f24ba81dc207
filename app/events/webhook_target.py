"""Events by HTTP: a POST with the JSON of each. httpx does it."""

from collections.abc import Sequence

import httpx

from app.events.delivery import ShouldStop, Target, TargetError
from app.events.record import EventRecord, json_of
from app.sources.address import redact

TIMEOUT_SECONDS = 5.0
TRY_AGAIN = (408, 425, 429)  # beside those from 500 on


class WebhookTarget(Target):
    """A web server. It has an event once it answers with a status from 200 to 299; redirects are not followed."""

    def __init__(self, address: str, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        """Prepare; connect with the first event.

        Args:
            address: `http://` or `https://`; a user and a password in it are sent as basic authentication.
            timeout_seconds: to connect, and again to answer.
        """
        self.name = redact(address)
        self._address = address
        self._client = httpx.Client(timeout=timeout_seconds, headers={"Content-Type": "application/json"})

    def send(self, records: Sequence[EventRecord], should_stop: ShouldStop) -> int:
        """Post one after another; the key `Idempotency-Key` of a request is the id of its event."""
        for number, record in enumerate(records):
            if should_stop():
                return number
            try:
                self._post(record)
            except TargetError:
                if not number:
                    raise
                return number
        return len(records)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _post(self, record: EventRecord) -> None:
        try:
            with self._client.stream(
                "POST", self._address, content=json_of(record), headers={"Idempotency-Key": record.id}
            ) as answer:
                status = answer.status_code  # the body may be endless, and nobody needs it
        except httpx.HTTPError as error:
            raise TargetError(_reason(error)) from error
        if not 200 <= status < 300:
            raise TargetError(f"it answers {status}", is_refusal=status < 500 and status not in TRY_AGAIN)


def _reason(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return str(error) or type(error).__name__
