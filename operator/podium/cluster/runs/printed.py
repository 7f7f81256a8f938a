"""What programs printed, where values of outputs come from it: read from the logs of their Pods.

A Pod stays until the outcome of its node is recorded, so its log is there when the program has
ended. It is read beside the turns of the run: a machine that does not answer delays only its node.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

from podium.api.outputs import printed_outputs
from podium.api.reasons import NodeReason
from podium.api.workflow import Node
from podium.cluster.jobs.interpret import MESSAGE_LIMIT, ExecutionReport
from podium.cluster.kube.answers import TooLongError
from podium.cluster.kube.client import KubernetesClient
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.views import CONTAINER, PodView
from podium.cluster.runs.active_run import ActiveRun
from podium.engine import AttemptPhase

__all__ = ["PrintedOutputs"]

READ_SECONDS = 30.0
"""So long a log that cannot be read is tried again: a machine may be busy, or lost."""
RETRY_SECONDS = 2.0
TOO_LARGE = b" " * MESSAGE_LIMIT
"""Stands for more than an output may have."""


class PrintedOutputs:
    """Reads logs of Pods whose programs have ended."""

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client

    def add(
        self,
        run: ActiveRun,
        name: str,
        node: Node,
        report: ExecutionReport,
        pods: Sequence[PodView],
    ) -> ExecutionReport:
        """Return a report with what the program of a node printed, if values come from it.

        While the log is being read, the execution is reported as one that goes on. `name` is that
        of its Job.
        """
        seen, names = report.observations[-1], printed_outputs(node.outputs)
        if not names or seen.phase is not AttemptPhase.SUCCEEDED:
            return report
        found = run.printed.pop(seen.attempt, None)
        if found is None and seen.attempt not in run.reading:
            pod = next((each for each in pods if each.uid == seen.attempt), None)
            if pod is None or pod.gone:
                found = "its Pod is gone"
            else:
                self._begin(run, name, pod)
        if isinstance(found, bytes):
            return replace(
                report, observations=(replace(seen, values=dict.fromkeys(names, found)),)
            )
        if found is None:
            going_on = replace(seen, phase=AttemptPhase.RUNNING, at=None, output=None)
            return replace(report, observations=(going_on,), remove=False, remove_pods=False)
        message = f"what the program printed cannot be read: {found}"
        lost = replace(
            seen, phase=AttemptPhase.FAILED, reason=NodeReason.OUTPUT_LOST, message=message
        )
        return replace(report, observations=(lost,))

    def _begin(self, run: ActiveRun, name: str, pod: PodView) -> None:
        run.reading.add(pod.uid)
        task = asyncio.get_running_loop().create_task(self._read(run, name, pod))
        run.tasks.add(task)
        task.add_done_callback(run.tasks.discard)

    async def _read(self, run: ActiveRun, name: str, pod: PodView) -> None:
        begun = run.stuck.setdefault((pod.uid, "log"), time.monotonic())
        try:
            run.printed[pod.uid] = await self._client.read_log(
                pod.namespace, pod.name, CONTAINER, MESSAGE_LIMIT
            )
        except TooLongError:
            run.printed[pod.uid] = TOO_LARGE
        except ApiError as error:
            # The server says 400 for what a kubelet cannot say yet.
            is_final = not error.transient and error.status != 400
            if not is_final and time.monotonic() - begun < READ_SECONDS:
                run.look_later(name, RETRY_SECONDS)
                return
            run.printed[pod.uid] = _words(error)
        finally:
            run.reading.discard(pod.uid)
        run.dirty.add(name)
        run.wake()


def _words(error: ApiError) -> str:
    if error.status == 403:
        return "the operator has no right on pods/log (chart value outputs.fromLogs)"
    if error.status == 404:
        return "its Pod is gone"
    return f"{error.status} {error.reason}: {error.message:.300}"
