"""The counters of a stream for Prometheus, at `/metrics`."""

import math
from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from app.stream.reporter import Reporter
from app.stream.stats import CAUSES

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

_COUNTERS = {
    "captured": "frames captured",
    "segmented": "frames segmented",
    "displayed": "frames shown or written",
    "reconnects": "times that the source came back",
    "stalls": "times that the source was open and sent nothing",
}
_GAUGES = {
    "capture_fps": "frames per second captured",
    "inference_fps": "frames per second segmented",
    "display_fps": "frames per second shown or written",
    "age_ms": "milliseconds since the capture of the picture that is seen",
    "run_age_p50_ms": "milliseconds from capture to display over the whole run, median",
    "run_age_p95_ms": "milliseconds from capture to display over the whole run, 95th percentile",
}


def metrics_text(reporters: Sequence[Reporter]) -> bytes:
    """Return the counters of all sources in Prometheus' text format.

    Every series is there from the start: a rate that is not known yet is 0, and so is a cause of loss that has not
    occurred; an age before the first picture is NaN.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(reporters))
    return generate_latest(registry)


class _Collector:
    def __init__(self, reporters: Sequence[Reporter]) -> None:
        self._values = [reporter.values() for reporter in reporters]

    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily("solov2_up", "1 while frames come", labels=["source"])
        for values in self._values:
            up.add_metric([values["source"]], float(values["state"] == "live"))
        yield up
        for field, text in _COUNTERS.items():
            counter = CounterMetricFamily(f"solov2_{field}", text, labels=["source"])
            for values in self._values:
                counter.add_metric([values["source"]], values[field])
            yield counter
        for field, text in _GAUGES.items():
            gauge = GaugeMetricFamily(f"solov2_{field}", text, labels=["source"])
            for values in self._values:
                unknown = math.nan if field == "age_ms" else 0.0
                gauge.add_metric([values["source"]], unknown if values[field] is None else values[field])
            yield gauge
        dropped = CounterMetricFamily("solov2_dropped", "frames lost, by cause", labels=["source", "cause"])
        for values in self._values:
            for cause in dict.fromkeys((*CAUSES, *values["dropped"])):
                dropped.add_metric([values["source"], cause], values["dropped"].get(cause, 0))
        yield dropped
