"""Events on their way: files, a real broker, a real web server, and what happens when these are away."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from app.events.delivery import Delivery, ShouldStop, Target, TargetError
from app.events.event_targets import check_target, open_target
from app.events.line_target import LineTarget
from app.events.mqtt_target import MqttTarget
from app.events.publishing import Publishing
from app.events.record import EventRecord, json_of, record_of
from app.events.webhook_target import WebhookTarget
from app.processors.watching import Watching
from app.sources.backoff import Backoff
from app.stream.controls import ControlPanel
from app.stream.events import Event
from app.stream_errors import SinkError
from tests.broker import Broker, Listener, free_port, running_broker
from tests.fake_walk import LEFT_HALF, MIDDLE, across, walked
from tests.web_server import running_server

QUICK = Backoff(0.02, 0.05)
SCHEMA = Path(__file__).parent.parent / "docs" / "event.schema.json"


def record(number: int) -> EventRecord:
    event = Event("appeared", "cam", number, number / 10, time.monotonic(), 7, "person", 0.51239, (1, 2, 3, 4))
    return record_of(event, str(number), is_live=True)


def wait_until(holds: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class FakeTarget(Target):
    """Takes records, unless it has a failure to raise."""

    name = "fake"

    def __init__(self) -> None:
        self.failure: TargetError | None = None
        self.taken: list[str] = []
        self.tries = self.closed = 0

    def send(self, records: Sequence[EventRecord], should_stop: ShouldStop) -> int:
        self.tries += 1
        if self.failure is not None:
            raise self.failure
        self.taken += [one.id for one in records]
        return len(records)

    def close(self) -> None:
        self.closed += 1


def test_a_record_says_what_happened_and_leaves_out_what_does_not_apply() -> None:
    values = json.loads(json_of(record(3)))
    assert values.pop("time").endswith("Z")
    assert values == {
        "version": 1,
        "id": "3",
        "event": "appeared",
        "source": "cam",
        "frame": 3,
        "seconds": 0.3,
        "track_id": 7,
        "class": "person",
        "score": 0.5124,
        "box": [1, 2, 3, 4],
    }


def test_the_schema_in_the_documents_is_that_of_the_records() -> None:
    assert json.loads(SCHEMA.read_text()) == EventRecord.model_json_schema(by_alias=True)


def test_every_kind_of_event_is_valid_by_the_schema(tmp_path: Path) -> None:
    watching = Watching([LEFT_HALF, MIDDLE], ("person",), panel=ControlPanel(), gives_masks=True)
    delivery = Delivery(LineTarget(tmp_path / "events.jsonl"), waits=True)
    publishing = Publishing([delivery], name="door", is_live=False)
    for result in walked([*across(20, 180, 4), *[None] * 20]):
        publishing(watching(result))
    delivery.close()
    lines = (tmp_path / "events.jsonl").read_text().splitlines()
    records = [EventRecord.model_validate_json(line, by_alias=True, by_name=False) for line in lines]
    assert {one.event for one in records} == {
        "appeared", "left", "entered_zone", "left_zone", "crossed_line", "zone_count",
    }  # fmt: skip
    assert len({one.id for one in records}) == len(records) == delivery.sent
    assert {(one.source, one.time) for one in records} == {("door", None)}
    assert all(one.mask for one in records if one.track_id)


def test_a_target_that_is_away_gets_everything_once_it_is_back() -> None:
    target, told = FakeTarget(), list[str]()
    target.failure = TargetError("connection refused")
    delivery = Delivery(target, backoff=QUICK, tell=told.append)
    for number in range(250):
        delivery.put(record(number))
    wait_until(lambda: target.tries > 3)
    target.failure = None
    delivery.close()
    assert target.taken == [str(number) for number in range(250)]
    assert (delivery.sent, delivery.lost, target.closed) == (250, 0, 1)
    assert told == [
        "fake does not take events: connection refused; up to 10000 events wait for it, and the run goes on",
        "fake takes events again",
    ]


def test_beyond_the_bound_the_oldest_events_are_lost_and_counted_and_nothing_waits() -> None:
    target = FakeTarget()
    target.failure = TargetError("away")
    delivery = Delivery(target, capacity=5, backoff=QUICK, tell=lambda line: None)
    delivery.put(record(-1))
    wait_until(lambda: target.tries > 0)
    started = time.monotonic()
    for number in range(1000):
        delivery.put(record(number))
    assert time.monotonic() - started < 2
    target.failure = None
    delivery.close()
    assert target.taken[-5:] == ["995", "996", "997", "998", "999"]
    assert delivery.sent == len(target.taken)
    assert delivery.sent + delivery.lost == 1001


def test_what_is_left_at_the_end_is_counted_as_lost() -> None:
    target = FakeTarget()
    target.failure = TargetError("away")
    delivery = Delivery(target, backoff=QUICK, tell=lambda line: None)
    for number in range(7):
        delivery.put(record(number))
    delivery.close(0.1)
    assert (delivery.sent, delivery.lost, delivery.waiting) == (0, 7, 0)


def test_a_file_waits_for_a_target_that_works() -> None:
    target = FakeTarget()
    delivery = Delivery(target, capacity=2, waits=True)
    for number in range(300):
        delivery.put(record(number))
    delivery.close()
    assert (len(target.taken), delivery.lost) == (300, 0)


def test_lines_are_appended_to_a_file(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("{}\n")
    target = LineTarget(path)
    assert target.send([record(1), record(2)], lambda: False) == 2
    target.close()
    assert [json.loads(line).get("id") for line in path.read_text().splitlines()] == [None, "1", "2"]


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("ftp://me:secret@host/", "events go to a file"),
        ("mqtt:host", "events go to a file"),
        ("mqtt://", "must name a host"),
        ("http://:80/x", "must name a host"),
        ("https://host:99999/", "must name a host"),
    ],
)
def test_an_unknown_target_is_refused_in_one_line(spec: str, problem: str) -> None:
    with pytest.raises(SinkError) as caught:
        check_target(spec)
    assert problem in str(caught.value)
    assert "secret" not in str(caught.value)


def test_targets_are_found_by_their_scheme(tmp_path: Path) -> None:
    kinds = {"mqtt://h": MqttTarget, "https://h/x": WebhookTarget, str(tmp_path / "e.jsonl"): LineTarget}
    for spec, kind in kinds.items():
        target = open_target(spec)
        assert isinstance(target, kind)
        target.close()


@pytest.mark.mqtt
def test_a_real_broker_gets_each_event_under_its_topic(tmp_path: Path) -> None:
    with running_broker(tmp_path) as broker:
        listener = Listener(broker.port)
        delivery = Delivery(MqttTarget(f"mqtt://127.0.0.1:{broker.port}"), tell=lambda line: None)
        for number in range(300):
            delivery.put(record(number))
        delivery.close(20)
        wait_until(lambda: len(listener.messages) >= 300)
        listener.close()
    assert (delivery.sent, delivery.lost) == (300, 0)
    assert [json.loads(text)["id"] for _, text in listener.messages] == [str(number) for number in range(300)]
    assert {topic for topic, _ in listener.messages} == {"solov2-live/cam/appeared"}


@pytest.mark.mqtt
def test_a_broker_that_is_killed_and_started_again_loses_nothing(tmp_path: Path) -> None:
    told: list[str] = []
    with running_broker(tmp_path) as broker:
        listener = Listener(broker.port)
        delivery = Delivery(MqttTarget(f"mqtt://127.0.0.1:{broker.port}/cameras/{{source}}"), tell=told.append)
        delivery.put(record(0))
        wait_until(lambda: delivery.sent == 1)
        broker.kill()
        for number in range(1, 200):
            delivery.put(record(number))
        wait_until(lambda: bool(told))
        broker.start()
        listener.resubscribed()
        delivery.close(30)
        wait_until(lambda: len({text for _, text in listener.messages}) == 200)
        listener.close()
    assert (delivery.sent, delivery.lost) == (200, 0)
    assert listener.messages[0][0] == "cameras/cam"
    assert "does not take events" in told[0]
    assert told[-1].endswith("takes events again")


@pytest.mark.mqtt
def test_a_broker_that_is_down_at_the_start_gets_everything_later(tmp_path: Path) -> None:
    told: list[str] = []
    broker = Broker(tmp_path)
    delivery = Delivery(MqttTarget(f"mqtt://me:secret@127.0.0.1:{broker.port}"), tell=told.append)
    delivery.put(record(0))
    wait_until(lambda: bool(told))
    broker.start()
    delivery.close(30)
    broker.kill()
    assert (delivery.sent, delivery.lost) == (1, 0)
    assert f"mqtt://127.0.0.1:{broker.port} does not take events: no broker answers at port" in told[0]
    assert "secret" not in "".join(told)


def test_a_real_web_server_gets_each_event_once_it_answers_well() -> None:
    with running_server() as server:
        server.status = 500
        told: list[str] = []
        delivery = Delivery(WebhookTarget(server.address), backoff=QUICK, tell=told.append)
        for number in range(5):
            delivery.put(record(number))
        wait_until(lambda: server.requests > 3)
        server.status = 200
        delivery.close()
        assert [json.loads(body)["id"] for body in server.bodies] == ["0", "1", "2", "3", "4"]
        assert server.keys == ["0", "1", "2", "3", "4"]
    assert (delivery.sent, delivery.lost) == (5, 0)
    assert "it answers 500; up to 10000 events wait" in told[0]
    assert "secret" not in "".join(told)


def test_a_web_server_that_refuses_an_event_loses_that_one_alone() -> None:
    with running_server() as server:
        server.status = 400
        delivery = Delivery(WebhookTarget(server.address), backoff=QUICK, tell=lambda line: None)
        delivery.put(record(0))
        wait_until(lambda: delivery.lost == 1)
        server.status = 200
        delivery.put(record(1))
        delivery.close()
        assert (delivery.sent, delivery.lost, len(server.bodies)) == (1, 1, 1)


def test_a_web_server_that_never_answers_delays_nobody() -> None:
    with running_server() as server:
        server.status = 0
        told: list[str] = []
        delivery = Delivery(WebhookTarget(server.address, 0.1), backoff=QUICK, tell=told.append)
        started = time.monotonic()
        for number in range(1000):
            delivery.put(record(number))
        assert time.monotonic() - started < 2
        wait_until(lambda: bool(told))
        server.released.set()
        delivery.close(0.5)
    assert "no answer in time" in told[0]
    assert delivery.lost == 1000


def test_a_web_server_that_is_not_there_is_told_in_one_line() -> None:
    told: list[str] = []
    delivery = Delivery(WebhookTarget(f"http://127.0.0.1:{free_port()}/"), backoff=QUICK, tell=told.append)
    delivery.put(record(0))
    wait_until(lambda: bool(told))
    delivery.close(0.1)
    assert "refused" in told[0]
    assert "\n" not in told[0]
