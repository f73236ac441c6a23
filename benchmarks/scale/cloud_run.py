"""Discrete-event simulation of a Cloud Run service under the autoscaler's documented rules.

Source of the rules: cloud.google.com/run/docs/about-instance-autoscaling (read in November 2026).
Where it gives no figure, the constants here say that they are assumed.
"""

import math
import random
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, cast

import simpy

TARGET = 0.6
"""Share of the CPUs, and of the concurrency, that the autoscaler aims at."""
WINDOW_SECONDS = 60.0
"""Over which it averages both."""
EVALUATION_SECONDS = 5.0
PENDING_SECONDS = 10.0
"""A request without an instance waits for so long, or longer while instances start; then 429."""
PENDING_STARTS = 3.5
"""…namely for so many average start-up times."""
IDLE_SECONDS = 900.0
"""An idle instance is kept for up to so long."""
START_SPREAD = 0.3
"""Assumed: start-up times are lognormal with this sigma."""
FAILURE_SECONDS = 5.0
"""Assumed: after so long a request gives up on a storage that is down."""

Process = Generator[simpy.Event, Any, None]


@dataclass(frozen=True)
class Config:
    """A service as `terraform/modules/cloud_run` deploys it.

    Attributes:
        cpu_seconds: CPU time of a request.
        cpus: of an instance.
        concurrency: requests that Cloud Run sends to an instance at a time.
        min_instances: kept running.
        max_instances: upper limit.
        start_seconds: from the decision to start an instance to its first answer.
        transfer_seconds: of a request's body and answer, which need no CPU.
    """

    cpu_seconds: float
    cpus: int = 2
    concurrency: int = 16
    min_instances: int = 0
    max_instances: int = 100
    start_seconds: float = 2.5
    transfer_seconds: float = 0.05


@dataclass
class Sample:
    """The service at one moment.

    Attributes:
        second: since the start.
        wanted: instances that the averages call for.
        ready: instances.
        starting: further instances.
        pending: requests that wait for an instance.
    """

    second: float
    wanted: int
    ready: int
    starting: int
    pending: int


@dataclass
class Answer:
    """One request: when it came, the seconds to its answer, and the status."""

    arrived: float
    seconds: float
    status: int


@dataclass(eq=False)
class Instance:
    """A running container.

    Attributes:
        cpu: a request uses one CPU; the service gives concurrent pictures one thread each.
        active: requests it has.
        active_since: when the first of them came; of no meaning while there is none.
        idle_since: when the last one left.
    """

    cpu: simpy.Resource
    active: int = 0
    active_since: float = 0.0
    idle_since: float = 0.0


@dataclass
class Service:
    """A simulated service. Start `run` and `sample`, then a process of `call` for each request.

    Attributes:
        answers: of all requests so far.
        samples: of every second.
        cpu_seconds: used by requests.
        billed_seconds: of instances with at least one request, which is what Cloud Run bills.
        starts: instances started.
    """

    env: simpy.Environment
    config: Config
    rng: random.Random
    answers: list[Answer] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    cpu_seconds: float = 0.0
    billed_seconds: float = 0.0
    starts: int = 0
    failing: bool = False
    """Whether requests fail with a 503 instead of an answer, as when the storage is down."""

    def __post_init__(self) -> None:
        self._ready = [self._instance() for _ in range(self.config.min_instances)]
        self._starting = 0
        self._wanted = 0
        self._pending: deque[simpy.Event] = deque()
        self._active = 0
        self._history: deque[tuple[float, float, float]] = deque()
        self._active_seconds = 0.0
        self._changed = 0.0

    def call(self) -> Generator[simpy.Event, Any, int]:
        """Live through one request; return its status."""
        arrived = self.env.now
        instance = yield from self._place()
        if instance is None:
            status = 429
        else:
            status = 503 if self.failing else 200
            yield from self._process(instance, fails=self.failing)
        self.answers.append(Answer(arrived, self.env.now - arrived, status))
        return status

    def run(self) -> Process:
        """Scale, for ever."""
        while True:
            self._wanted = self._recommended()
            self._start(self._wanted - len(self._ready) - self._starting)
            self._scale_in()
            yield self.env.timeout(EVALUATION_SECONDS)

    def sample(self) -> Process:
        """Record the state each second, for ever."""
        while True:
            counts = (self._wanted, len(self._ready), self._starting, len(self._pending))
            self.samples.append(Sample(self.env.now, *counts))
            yield self.env.timeout(1)

    def _instance(self) -> Instance:
        return Instance(simpy.Resource(self.env, self.config.cpus), idle_since=self.env.now)

    def _place(self) -> Generator[simpy.Event, Any, Instance | None]:
        """Find an instance, wait for one, or give up."""
        instance = self._free()
        if instance is not None:
            self._enter(instance)
            return instance
        place = self.env.event()
        self._pending.append(place)
        self._start_on_demand()
        limit = max(PENDING_SECONDS, PENDING_STARTS * self.config.start_seconds)
        yield place | self.env.timeout(limit)
        if place.triggered:
            return cast(Instance, place.value)  # `_fill` has entered it
        self._pending.remove(place)
        return None

    def _process(self, instance: Instance, *, fails: bool) -> Process:
        if fails:
            yield self.env.timeout(FAILURE_SECONDS)
        else:
            yield self.env.timeout(self.config.transfer_seconds)
            with instance.cpu.request() as turn:
                yield turn
                yield self.env.timeout(self.config.cpu_seconds)
                self.cpu_seconds += self.config.cpu_seconds
        self._leave(instance)

    def _free(self) -> Instance | None:
        """Return an instance that can take one more request, if there is one.

        Of those that the averages call for, the one with the fewest; beyond them, which are kept
        in reserve, only when all of them are full (assumed).
        """
        wanted = max(1, self._wanted)
        for instances in (self._ready[:wanted], self._ready[wanted:]):
            best = min(instances, key=lambda instance: instance.active, default=None)
            if best is not None and best.active < self.config.concurrency:
                return best
        return None

    def _enter(self, instance: Instance) -> None:
        self._count(+1)
        if instance.active == 0:
            instance.active_since = self.env.now
        instance.active += 1

    def _leave(self, instance: Instance) -> None:
        self._count(-1)
        instance.active -= 1
        if instance.active == 0:
            instance.idle_since = self.env.now
            # Billed in steps of 100 ms.
            self.billed_seconds += math.ceil((self.env.now - instance.active_since) * 10) / 10
        self._fill(instance)

    def _fill(self, instance: Instance) -> None:
        while self._pending and instance.active < self.config.concurrency:
            self._enter(instance)
            self._pending.popleft().succeed(instance)

    def _count(self, change: int) -> None:
        self._active_seconds += self._active * (self.env.now - self._changed)
        self._changed = self.env.now
        self._active += change

    def _start_on_demand(self) -> None:
        """Start an instance for every batch of pending requests that nothing else will take."""
        wanted = math.ceil(len(self._pending) / self.config.concurrency)
        self._start(wanted - self._starting)

    def _recommended(self) -> int:
        """How many instances the averages call for."""
        self._count(0)
        now = (self.env.now, self.cpu_seconds, self._active_seconds)
        self._history.append(now)
        while self._history[0][0] < self.env.now - WINDOW_SECONDS:
            self._history.popleft()
        seconds, cpu, active = (b - a for a, b in zip(self._history[0], now, strict=True))
        if seconds == 0:
            return 0
        by_cpu = cpu / seconds / (self.config.cpus * TARGET)
        by_concurrency = active / seconds / (self.config.concurrency * TARGET)
        return math.ceil(max(by_cpu, by_concurrency))

    def _start(self, count: int) -> None:
        free = self.config.max_instances - len(self._ready) - self._starting
        for _ in range(min(count, free)):
            self._starting += 1
            self.starts += 1
            self.env.process(self._boot())

    def _boot(self) -> Process:
        seconds = self.config.start_seconds * self.rng.lognormvariate(0, START_SPREAD)
        yield self.env.timeout(seconds)
        self._starting -= 1
        instance = self._instance()
        self._ready.append(instance)
        self._fill(instance)

    def _scale_in(self) -> None:
        for instance in list(self._ready):
            idle = self.env.now - instance.idle_since if instance.active == 0 else 0.0
            if idle >= IDLE_SECONDS and len(self._ready) > self.config.min_instances:
                self._ready.remove(instance)
