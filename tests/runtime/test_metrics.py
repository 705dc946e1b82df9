"""What operators read at /metrics says what happened, in the text format of Prometheus."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from engine.model import DeliveryState
from engine.runtime.metrics import BOUNDS, Metrics
from engine.store.values import Counts


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Every value by its name and its labels in their order, as a reader of the text finds them."""
    return {
        (sample.name, *(sample.labels[label] for label in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


def test_each_thing_that_happens_is_counted_under_its_name() -> None:
    metrics = Metrics()
    metrics.received("order_completed", repeat=False, seconds=0.002)
    metrics.received("order_completed", repeat=True, seconds=0.002)
    metrics.late("shipment_updated")
    metrics.set_aside()
    metrics.quarantined("json")
    metrics.refused("401")
    metrics.refused("401")
    metrics.outcome("big-order", "fires")
    metrics.delivered("slack", "done")
    metrics.rule_files_broken(3)
    metrics.rule_files_broken(2)
    found = samples(metrics)
    assert {key: value for key, value in found.items() if "ack_seconds" not in key[0]} == {
        ("shopbell_events_received_total", "order_completed"): 1,
        ("shopbell_events_repeated_total", "order_completed"): 1,
        ("shopbell_events_late_total", "shipment_updated"): 1,
        ("shopbell_events_set_aside_total",): 1,
        ("shopbell_bodies_quarantined_total", "json"): 1,
        ("shopbell_requests_refused_total", "401"): 2,
        ("shopbell_rule_outcomes_total", "fires", "big-order"): 1,
        ("shopbell_delivery_tries_total", "slack", "done"): 1,
        ("shopbell_rule_files_broken",): 2,
    }


def test_times_to_an_answer_fall_into_every_bucket_that_holds_them() -> None:
    metrics = Metrics()
    for seconds in (0.0005, BOUNDS[0], 0.003, 99.0):
        metrics.received("order_completed", repeat=False, seconds=seconds)
    found = samples(metrics)
    counts = [found["shopbell_ack_seconds_bucket", str(bound)] for bound in (*BOUNDS, "+Inf")]
    assert counts == [2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4]
    assert found["shopbell_ack_seconds_count",] == 4
    assert found["shopbell_ack_seconds_sum",] == pytest.approx(99.0045)


def test_two_services_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.set_aside()
    assert samples(other)["shopbell_events_set_aside_total",] == 0


def test_a_label_from_outside_cannot_forge_a_line() -> None:
    metrics = Metrics()
    metrics.outcome('a"} 1\nforged_total 7', "fires")
    assert ("shopbell_rule_outcomes_total", "fires", 'a"} 1\nforged_total 7') in samples(metrics)
    assert "\nforged_total" not in metrics.text().decode()


def test_what_waits_is_shown_with_the_age_of_its_oldest() -> None:
    now = datetime(2026, 11, 25, 12, tzinfo=UTC)
    metrics = Metrics()
    waiting = Counts(
        new_events=3,
        oldest_new=now - timedelta(seconds=30),
        failed_events=1,
        deliveries={(DeliveryState.QUEUED, "http/erp"): 4, (DeliveryState.HELD, "email/default"): 2},
        oldest_due=None,
        quarantined=5,
    )
    metrics.waiting(waiting, now)
    found = samples(metrics)
    assert found["shopbell_events_waiting",] == 3
    assert found["shopbell_events_oldest_seconds",] == 30
    assert found["shopbell_deliveries", "http/erp", "queued"] == 4
    assert found["shopbell_deliveries", "email/default", "held"] == 2
    assert found["shopbell_deliveries_oldest_seconds",] == 0
    assert found["shopbell_quarantine",] == 5
