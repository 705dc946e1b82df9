"""What is counted for operators, as Prometheus text: arrivals, outcomes, deliveries, and how long an answer took.

Counting is a dictionary's work, done on the event loop only; the text is made when somebody asks for it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from engine.store.pacing import Outage
from engine.store.values import Counts as Waiting

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""What the text is, for the answer's header."""

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Upper bounds, in seconds, that times to an answer are counted by."""

Counts = Counter[tuple[str, ...]]
Metric = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


class Metrics:
    """The counters of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._received: Counts = Counter()
        self._repeated: Counts = Counter()
        self._late: Counts = Counter()
        self._quarantined: Counts = Counter()
        self._refused: Counts = Counter()
        self._outcomes: Counts = Counter()
        self._delivered: Counts = Counter()
        self._set_aside: Counts = Counter({(): 0})
        self._outages: Counts = Counter()
        self._failing: Sequence[Outage] = ()
        self._alarms: dict[str, bool] = {}
        self._rule_files_broken = 0
        self._waiting: tuple[Waiting, datetime] | None = None
        self._answers = [0] * (len(BOUNDS) + 1)
        self._answer_seconds = 0.0
        self.registry.register(_Families(self))

    def received(self, type: str, repeat: bool, seconds: float) -> None:
        """An event was acknowledged, `seconds` after its request began; `type` is "unknown" for unknown ones."""
        (self._repeated if repeat else self._received)[(type,)] += 1
        self._answers[bisect_left(BOUNDS, seconds)] += 1
        self._answer_seconds += seconds

    def late(self, type: str) -> None:
        """An event turned out older than what was known of its object."""
        self._late[(type,)] += 1

    def quarantined(self, kind: str) -> None:
        """An authentic body could not be read; `kind` is one word for why."""
        self._quarantined[(kind,)] += 1

    def refused(self, why: str) -> None:
        """A request was refused: its status code, or a word for one that got no answer."""
        self._refused[(why,)] += 1

    def outcome(self, rule: str, outcome: str) -> None:
        """A rule answered for an event."""
        self._outcomes[rule, outcome] += 1

    def set_aside(self) -> None:
        """An event could not be judged and waits for a person."""
        self._set_aside[()] += 1

    def delivered(self, kind: str, state: str) -> None:
        """A try of a delivery (`slack`) ended, and the delivery came to this state."""
        self._delivered[kind, state] += 1

    def connection_broke(self, connection: str) -> None:
        """A connection failed so often that it is tried seldom until it works again."""
        self._outages[(connection,)] += 1

    def alarm(self, name: str, raised: bool) -> None:
        """An alarm of this name is raised, or is not."""
        self._alarms[name] = raised

    def rule_files_broken(self, count: int) -> None:
        """So many rule files have a fault that keeps them, or their newest version, from running."""
        self._rule_files_broken = count

    def waiting(self, counts: Waiting, now: datetime, failing: Sequence[Outage] = ()) -> None:
        """What the record says is waiting at this moment, and which connections fail, to be shown with the rest."""
        self._waiting = (counts, now)
        self._failing = failing

    def text(self) -> bytes:
        """Everything counted so far, in Prometheus' text format."""
        return generate_latest(self.registry)

    def families(self) -> Iterator[Metric]:
        """Everything counted so far, as Prometheus' metric families."""
        yield _counter(
            "events_received", "Events acknowledged for the first time.", ("type",), self._received
        )
        yield _counter("events_repeated", "Events that had arrived before.", ("type",), self._repeated)
        yield _counter(
            "events_late", "Events older than what was known of their object.", ("type",), self._late
        )
        yield _counter("events_set_aside", "Events that could not be judged.", (), self._set_aside)
        yield _counter(
            "bodies_quarantined", "Authentic bodies that could not be read.", ("kind",), self._quarantined
        )
        yield _counter(
            "requests_refused", "Requests to receivers that were not taken.", ("code",), self._refused
        )
        yield _counter("rule_outcomes", "Answers of rules to events.", ("rule", "outcome"), self._outcomes)
        yield _counter(
            "delivery_tries", "Tries of deliveries by what came of them.", ("kind", "state"), self._delivered
        )
        yield _counter(
            "connection_outages", "Times a connection began to fail.", ("connection",), self._outages
        )
        yield _alarms(self._alarms)
        help = "Rule files with a fault that keeps them from running."
        yield GaugeMetricFamily("shopbell_rule_files_broken", help, self._rule_files_broken)
        yield self._answer_times()
        if self._waiting is not None:
            yield from _standing(*self._waiting)
            yield _seconds_failing(self._failing, self._waiting[1])

    def _answer_times(self) -> Metric:
        sums = accumulate(self._answers)
        buckets = [(str(bound), sum_) for bound, sum_ in zip((*BOUNDS, "+Inf"), sums, strict=True)]
        help = "Seconds from a request's start to its 202."
        return HistogramMetricFamily("shopbell_ack_seconds", help, buckets, self._answer_seconds)


def _standing(waiting: Waiting, now: datetime) -> Iterator[Metric]:
    """What waits, and how long the oldest of it has."""
    yield _gauge("events_waiting", "Events that wait to be judged.", waiting.new_events)
    yield _gauge("events_oldest_seconds", "Age of the oldest of them.", _age(waiting.oldest_new, now))
    yield _gauge("events_needing_attention", "Events that were set aside.", waiting.failed_events)
    yield _gauge("quarantine", "Bodies that could not be read.", waiting.quarantined)
    yield _gauge(
        "deliveries_oldest_seconds",
        "How long the oldest due delivery has been due.",
        _age(waiting.oldest_due, now),
    )
    help = "Deliveries on their way or waiting for a person."
    family = GaugeMetricFamily("shopbell_deliveries", help, labels=("state", "connection"))
    for (state, connection), count in waiting.deliveries.items():
        family.add_metric((state, connection), count)
    yield family


def _seconds_failing(outages: Sequence[Outage], now: datetime) -> Metric:
    help = "How long a connection that fails has been failing."
    family = GaugeMetricFamily("shopbell_connection_failing_seconds", help, labels=("connection",))
    for outage in outages:
        family.add_metric((outage.connection,), _age(outage.since, now))
    return family


def _alarms(alarms: Mapping[str, bool]) -> Metric:
    family = GaugeMetricFamily("shopbell_alarms", "Whether an alarm is raised.", labels=("alarm",))
    for name, raised in alarms.items():
        family.add_metric((name,), float(raised))
    return family


def _gauge(name: str, help: str, value: float) -> Metric:
    return GaugeMetricFamily(f"shopbell_{name}", help, value)


def _age(since: datetime | None, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds()) if since is not None else 0.0


class _Families(Collector):
    """What the registry asks when the text is made."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return self._metrics.families()


def _counter(name: str, help: str, labels: tuple[str, ...], counts: Counts) -> CounterMetricFamily:
    family = CounterMetricFamily(f"shopbell_{name}", help, labels=labels)
    for values, count in counts.items():
        family.add_metric(values, count)
    return family
