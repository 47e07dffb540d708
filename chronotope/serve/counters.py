"""What the service counts while it runs, in the text format of Prometheus."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator

from chronotope.serve.service import Service

__all__ = ["Counters"]

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)  # seconds


class Counters:
    """Requests by method and status, and how long they took until the answer began."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._buckets = [0] * len(BOUNDS)
        self._seconds, self._count = 0.0, 0

    def add(self, method: str, status: int, seconds: float) -> None:
        """Count a request."""
        with self._lock:
            self._requests[method, status] += 1
            self._count += 1
            self._seconds += seconds
            for place, bound in enumerate(BOUNDS):
                self._buckets[place] += seconds <= bound

    def text(self, service: Service) -> str:
        """Return all numbers, those of the jobs too."""
        return "\n".join([*self._of_requests(), *_of_service(service), ""])

    def _of_requests(self) -> Iterator[str]:
        with self._lock:
            requests, buckets = dict(self._requests), list(self._buckets)
            count, seconds = self._count, self._seconds
        yield "# TYPE chronotope_requests_total counter"
        for (method, status), number in sorted(requests.items()):
            yield f'chronotope_requests_total{{method="{method}",status="{status}"}} {number}'
        yield "# TYPE chronotope_request_seconds histogram"
        for bound, number in zip(BOUNDS, buckets, strict=True):
            yield f'chronotope_request_seconds_bucket{{le="{bound:g}"}} {number}'
        yield f'chronotope_request_seconds_bucket{{le="+Inf"}} {count}'
        yield f"chronotope_request_seconds_sum {seconds:.6f}"
        yield f"chronotope_request_seconds_count {count}"


def _of_service(service: Service) -> Iterator[str]:
    yield "# TYPE chronotope_jobs gauge"
    for state, number in sorted(service.store.counts().items()):
        yield f'chronotope_jobs{{state="{state}"}} {number}'
    for name, kind, value in (
        ("workers", "gauge", len(service.pool.pids)),
        ("worker_deaths_total", "counter", service.pool.deaths),
        ("ready", "gauge", int(not service.pool.problem)),
        ("stored_bytes", "gauge", service.store.stored_bytes()),
        ("job_seconds", "gauge", round(service.store.job_seconds(), 3)),
    ):
        yield f"# TYPE chronotope_{name} {kind}"
        yield f"chronotope_{name} {value}"
