"""The lag of the event loop as its metric shows it."""

import asyncio
import time

from podium.cluster.loop_lag import measure_lag
from podium.cluster.metrics import Metrics


async def next_lag(queue, *, above=0.0):
    while (lag := await queue.get()) < above:
        pass
    return lag


async def test_a_loop_that_stands_still_is_seen():
    seen = asyncio.Queue()
    task = asyncio.create_task(measure_lag(seen.put_nowait))
    assert await next_lag(seen) >= 0
    time.sleep(0.3)  # noqa: ASYNC251 - this is what is measured
    assert await next_lag(seen, above=0.25)
    task.cancel()


async def test_the_metric_counts_samples_by_their_lag():
    metrics, seen = Metrics(), asyncio.Event()

    def observe(seconds):
        metrics.loop_lag.observe(seconds)
        seen.set()

    task = asyncio.create_task(measure_lag(observe))
    await seen.wait()
    task.cancel()
    assert metrics.registry.get_sample_value("podium_event_loop_lag_seconds_count") >= 1
    assert b'podium_event_loop_lag_seconds_bucket{le="0.05"}' in metrics.text()
