"""The simulation of Cloud Run and Pub/Sub against values that can be computed by hand."""

import statistics

import pytest

from benchmarks.scale import capacity
from benchmarks.scale.__main__ import measured_cpu
from benchmarks.scale.cloud_run import Config
from benchmarks.scale.pubsub import MAX_ATTEMPTS, seconds_until_dead
from benchmarks.scale.scenarios import quantile, requests, uploads


def seconds(config: Config, load: tuple[tuple[float, float], ...]) -> list[float]:
    answers = requests(config, load).service.answers
    return [answer.seconds for answer in answers if answer.status == 200]


class TestCloudRun:
    def test_waiting_for_one_cpu_follows_pollaczek_and_khinchine(self) -> None:
        config = Config(
            0.1, cpus=1, concurrency=250, min_instances=1, max_instances=1, transfer_seconds=0
        )
        for load in (0.5, 0.7):
            waits = [s - 0.1 for s in seconds(config, ((5000, load / 0.1),))]
            expected = load * 0.1 / (2 * (1 - load))  # of an M/D/1 queue
            assert statistics.mean(waits) == pytest.approx(expected, rel=0.1)

    def test_a_busy_instance_answers_what_its_cpus_can(self) -> None:
        config = Config(0.04, min_instances=1, max_instances=1)
        service = requests(config, ((60, 100),)).service
        done = [a for a in service.answers if a.status == 200 and a.arrived + a.seconds <= 60]
        assert len(done) / 60 == pytest.approx(2 / 0.04, rel=0.02)

    def test_beyond_it_requests_are_refused_after_ten_seconds(self) -> None:
        config = Config(0.04, min_instances=1, max_instances=1)
        answers = requests(config, ((60, 100),)).service.answers
        refused = [answer for answer in answers if answer.status == 429]
        assert len(refused) > 1000
        assert {round(answer.seconds, 6) for answer in refused} == {10}

    def test_from_zero_requests_wait_for_a_start_and_none_is_refused(self) -> None:
        answers = requests(Config(0.04, start_seconds=4), ((5, 50),)).service.answers
        assert {answer.status for answer in answers} == {200}
        assert 2 < max(answer.seconds for answer in answers) < 8
        warm = requests(Config(0.04, start_seconds=4, min_instances=5), ((5, 50),)).service.answers
        assert max(answer.seconds for answer in warm) < 1

    def test_instances_follow_the_cpu_target(self) -> None:
        # 54 requests of 0.1 s take 5.4 CPUs: nine at 60 %, which is four and a half instances.
        samples = requests(Config(0.1, transfer_seconds=0), ((300, 54),)).service.samples
        assert statistics.median(sample.wanted for sample in samples[60:300]) == 5

    def test_a_lonely_request_is_billed_in_steps_of_100_ms(self) -> None:
        config = Config(0.04, min_instances=1, transfer_seconds=0.05)
        service = requests(config, ((100, 0.05),)).service
        assert service.billed_seconds == pytest.approx(0.1 * len(service.answers))

    def test_idle_instances_go_after_a_quarter_of_an_hour(self) -> None:
        samples = requests(Config(0.04), ((5, 200), (1200, 0.001))).service.samples
        assert max(sample.ready for sample in samples) > 5
        assert samples[890].ready > 5
        assert samples[-1].ready <= 1


class TestPubSub:
    CONFIG = Config(0.1, concurrency=8, min_instances=1, max_instances=2, transfer_seconds=0.1)

    def test_attempts_last_a_night(self) -> None:
        assert seconds_until_dead() == 10 + 20 + 40 + 80 + 160 + 320 + 93 * 600

    def test_an_event_is_delivered_again_ever_later(self) -> None:
        # Failures take 5 s: attempts at 0, 15, 40, 85 s; the fourth succeeds.
        subscription = uploads(self.CONFIG, 1, 1, outage=60)
        ((published, delay),) = subscription.acknowledged
        assert subscription.deliveries == 4
        assert published == 0
        assert delay == pytest.approx(85.2)

    def test_none_is_lost_and_none_counted_twice(self) -> None:
        subscription = uploads(self.CONFIG, 500, 10)
        assert len(subscription.acknowledged) == 500
        assert subscription.dead == 0

    def test_what_fails_for_too_long_is_a_dead_letter(self) -> None:
        subscription = uploads(self.CONFIG, 3, 1, outage=72_000)
        assert (subscription.dead, subscription.acknowledged) == (3, [])
        assert subscription.deliveries == 3 * MAX_ATTEMPTS


class TestCapacity:
    def test_instances_and_prices(self) -> None:
        fleet = capacity.fleet(1000, 0.06, used=0.5)
        assert (fleet.vcpus, fleet.instances) == (100, 50)
        month = 730 * 3600
        assert fleet.always_usd == pytest.approx(50 * (2 * 0.000018 + 0.000002) * month)
        per_picture = 0.06 / 0.5 * (0.000024 + 0.0000025 / 2) + 0.4e-6
        assert fleet.requests_usd == pytest.approx(1000 * month * per_picture)

    def test_a_bucket_is_ramped_up_by_doubling(self) -> None:
        assert capacity.ramp_minutes(1000, 1000) == 0
        assert capacity.ramp_minutes(2000, 1000) == 20
        assert capacity.ramp_minutes(10_000, 1000) == 80

    def test_every_task_lists_its_run(self) -> None:
        plan = {"pictures": 1_000_000, "cpu_seconds": 0.1, "busy": 1.0, "at_once": 1}
        whole = capacity.backfill(**plan, folders=1, tasks=100)  # type: ignore[arg-type]
        parts = capacity.backfill(**plan, folders=10, tasks=10)  # type: ignore[arg-type]
        assert whole.lists_usd == pytest.approx(1000 * 100 * 0.005 / 1000)
        assert parts.lists_usd == pytest.approx(whole.lists_usd / 10)
        assert whole.vcpu_hours == pytest.approx(1e5 / 3600)

    def test_cpu_seconds_are_the_measured_ones(self) -> None:
        assert 0.01 < measured_cpu() < 0.1


@pytest.mark.parametrize(("share", "value"), [(0, 1), (0.5, 2), (0.51, 3), (1, 4)])
def test_quantiles(share: float, value: float) -> None:
    assert quantile([1, 2, 3, 4], share) == value
