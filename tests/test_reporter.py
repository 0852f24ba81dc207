import math
from dataclasses import dataclass
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from app.page.prometheus import metrics_text
from app.stream.reporter import FixedStatus, Reporter
from app.stream.source_status import SourceStatus
from app.stream.stats import StreamStats


@dataclass
class FakeSource:
    status: SourceStatus


WAITING = SourceStatus("waiting", since=0.0, reason="connection refused", reconnects=3, stalls=1, corrupt=7)


def busy_stats() -> StreamStats:
    stats = StreamStats()
    for _ in range(5):
        stats.captured()
        stats.displayed(0.05)
    stats.dropped("capture", 2)
    return stats


def samples_of(reporters: list[Reporter]) -> dict[tuple[Any, ...], float]:
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics_text(reporters).decode())
        for sample in family.samples
    }


def test_values_join_the_counters_and_the_state_of_the_source() -> None:
    values = Reporter("door", busy_stats(), FakeSource(WAITING)).values()
    assert values["source"] == "door"
    assert (values["state"], values["reason"]) == ("waiting", "connection refused")
    assert (values["reconnects"], values["stalls"], values["captured"]) == (3, 1, 5)
    assert values["dropped"] == {"capture": 2, "corrupt": 7}
    assert values["display_fps"] is None, "there is no rate in the first moment"


def test_a_line_tells_rates_ages_and_losses() -> None:
    line = Reporter("door", busy_stats(), FakeSource(WAITING)).line()
    assert line == "- fps, age 50 ms (p95 50 ms), 2 dropped at capture, 7 dropped at corrupt, 3 reconnects, 1 stall"


def test_prometheus_reads_the_metrics_of_every_source() -> None:
    name = 'say "hi"\\ to all'
    reporters = [Reporter("door", busy_stats(), FakeSource(WAITING)), Reporter(name, busy_stats())]
    samples = samples_of(reporters)
    assert samples["solov2_up", ("source", "door")] == 0
    assert samples["solov2_up", ("source", name)] == 1
    assert samples["solov2_captured_total", ("source", "door")] == 5
    assert samples["solov2_dropped_total", ("cause", "corrupt"), ("source", "door")] == 7
    assert samples["solov2_age_ms", ("source", "door")] == 50


def test_every_series_is_there_before_the_first_frame() -> None:
    opening = FixedStatus(SourceStatus("connecting", since=0.0))
    samples = samples_of([Reporter("door", StreamStats(), opening)])
    assert samples["solov2_up", ("source", "door")] == 0
    for name in ("captured_total", "reconnects_total", "stalls_total", "display_fps"):
        assert samples[f"solov2_{name}", ("source", "door")] == 0
    for cause in ("capture", "stale", "display", "corrupt", "sink"):
        assert samples["solov2_dropped_total", ("cause", cause), ("source", "door")] == 0
    assert math.isnan(samples["solov2_age_ms", ("source", "door")]), "no picture has no age"
