"""Events by MQTT: each one a message, at least once (QoS 1). paho-mqtt, the client of the Eclipse project, does it."""

import re
import threading
from collections.abc import Sequence
from itertools import takewhile
from typing import Any
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from app.events.delivery import ShouldStop, Target, TargetError
from app.events.record import EventRecord, json_of
from app.sources.address import redact

DEFAULT_TOPIC = "solov2-live/{source}/{event}"
PORTS = {"mqtt": 1883, "mqtts": 8883}
CONNECT_SECONDS = 5.0
MAX_WAIT_SECONDS = 10  # between two tries to connect
KEEP_ALIVE_SECONDS = 15
TICK_SECONDS = 0.05


class MqttTarget(Target):
    """A broker. While it is away paho keeps trying; what is under way is sent again after that."""

    def __init__(self, address: str) -> None:
        """Prepare; connect with the first event.

        Args:
            address: `mqtt://[user:password@]host[:port][/topic]`, or `mqtts://` for TLS. `{source}` and `{event}` in
                the topic stand for the source's name and the kind of the event.
        """
        parts = urlsplit(address)
        self.name = redact(address)
        self._host, self._port = parts.hostname or "", parts.port or PORTS[parts.scheme]
        self._topic = unquote(parts.path.lstrip("/")) or DEFAULT_TOPIC
        self._reason = "no connection yet"
        self._is_connected, self._news = threading.Event(), threading.Event()
        self._under_way: dict[str, int] = {}  # message numbers by the ids of records
        self._confirmed: set[int] = set()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.reconnect_delay_set(1, MAX_WAIT_SECONDS)
        self._client.max_queued_messages_set(0)  # without a limit: no more than a batch is ever handed over
        if parts.username is not None:
            self._client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
        if parts.scheme == "mqtts":
            self._client.tls_set()
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        self._has_begun = False

    def send(self, records: Sequence[EventRecord], should_stop: ShouldStop) -> int:
        """Publish those that are not under way yet, and wait until the broker has confirmed them or is lost."""
        self._connect()
        for record in records:
            if record.id not in self._under_way:
                self._under_way[record.id] = self._client.publish(self._topic_of(record), json_of(record), qos=1).mid
        wanted = {self._under_way[record.id] for record in records}
        while not wanted <= self._confirmed and self._is_connected.is_set() and not should_stop():
            self._news.wait(TICK_SECONDS)
            self._news.clear()
        taken = list(takewhile(lambda record: self._under_way[record.id] in self._confirmed, records))
        for record in taken:
            self._confirmed.discard(self._under_way.pop(record.id))
        if not taken and not should_stop():
            raise TargetError(self._reason)
        return len(taken)

    def close(self) -> None:
        """Disconnect."""
        if self._has_begun:
            self._client.disconnect()
            self._client.loop_stop()

    def _on_connect(self, client: mqtt.Client, data: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        if reason.is_failure:
            self._reason = str(reason).lower()
        else:
            self._is_connected.set()

    def _on_connect_fail(self, client: mqtt.Client, data: Any) -> None:
        self._reason = f"no broker answers at port {self._port}"

    def _on_disconnect(self, client: mqtt.Client, data: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        if self._is_connected.is_set():
            self._reason = "the connection was lost"
        self._is_connected.clear()
        self._news.set()

    def _on_publish(self, client: mqtt.Client, data: Any, mid: int, reason: ReasonCode, properties: Any) -> None:
        self._confirmed.add(mid)
        self._news.set()

    def _connect(self) -> None:
        """Wait for a connection; raise TargetError without one."""
        if not self._has_begun:
            self._client.connect_async(self._host, self._port, KEEP_ALIVE_SECONDS)
            self._client.loop_start()
            self._has_begun = True
        if not self._is_connected.wait(CONNECT_SECONDS):
            raise TargetError(self._reason)

    def _topic_of(self, record: EventRecord) -> str:
        source = re.sub(r"[+#/\s\0]+", "_", record.source).strip("_") or "source"
        return self._topic.replace("{source}", source).replace("{event}", record.event)
