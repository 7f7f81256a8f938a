"""Workers: what is too much is ended, and what comes after it is answered."""

import asyncio
import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from podium.judge import pool as pool_module
from podium.judge.pool import JudgeError, OverBudgetError, Pool

WORKER = str(Path(__file__).with_name("worker.py"))
COMMAND = (sys.executable, "-P", WORKER)


@asynccontextmanager
async def running(**options):
    pool = Pool(**{"workers": 1, "seconds": 0.3, "command": COMMAND, **options})
    task = asyncio.create_task(pool.run())
    try:
        yield pool
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def _patience(monkeypatch):
    """On a machine that is very busy a worker gets its budget all the same, but later."""
    monkeypatch.setattr(pool_module, "PATIENCE", 200.0)


def weight_of(pid):
    """Return the niceness of a process's session; None: the kernel does not weigh sessions."""
    try:
        return int(Path(f"/proc/{pid}/autogroup").read_text().split()[-1])
    except OSError:
        return None


def is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


async def ended(pid):
    async with asyncio.timeout(60):
        while is_alive(pid):  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.05)


async def test_a_worker_answers_one_question_after_another():
    async with running() as pool:
        pids = {await pool.ask("pid", b"") for _ in range(20)}
        assert len(pids) == 1
        large = os.urandom(3_000_000)
        assert await pool.ask("echo", large) == large
        assert pool.answered == 21


async def test_first_questions_at_the_same_time_have_a_worker_each():
    async with running(workers=2, seconds=20) as pool:
        asked = [pool.ask("pid", b"") for _ in range(2)]
        assert len(set(await asyncio.gather(*asked))) == 2


async def test_a_fault_of_the_pool_fails_one_question_and_ends_nothing():
    def broken():
        raise RuntimeError("a bug")

    async with running(seconds=20) as pool:
        before = int(await pool.ask("pid", b""))
        with pytest.raises(JudgeError, match="RuntimeError"):
            await pool.ask("pid", broken)
        assert int(await pool.ask("pid", b"")) != before
        await ended(before)


@pytest.mark.parametrize(
    ("task", "says"),
    [
        ("spin", "takes more than 0.3 s"),
        ("spin in C", "takes more than 0.3 s"),
        ("memory", "takes more than 128 MiB of memory"),
        ("large", "makes more than 8 MiB"),
        ("die", "ends the process that does it"),
    ],
)
async def test_what_is_too_much_is_ended_and_the_next_question_is_answered(task, says):
    async with running() as pool:
        before = int(await pool.ask("pid", b""))
        with pytest.raises(OverBudgetError, match=f"^{says}$"):
            await pool.ask(task, b"1000")
        after = int(await pool.ask("pid", b""))
        assert after != before
        assert pool.over_budget == 1
        await ended(before)


async def test_a_machine_that_is_too_busy_says_nothing_of_the_question(monkeypatch):
    monkeypatch.setattr(pool_module, "PATIENCE", 1.0)
    async with running() as pool:
        before = int(await pool.ask("pid", b""))
        with pytest.raises(JudgeError, match=r"got less than 0\.3 s of the processor in 0\.3 s"):
            await pool.ask("wait", b"1000")
        assert int(await pool.ask("pid", b"")) != before
        assert pool.over_budget == 0
        await ended(before)


async def test_memory_that_earlier_questions_used_is_no_fault_of_the_next_one():
    async with running(seconds=20) as pool:
        before = int(await pool.ask("keep", b"70"))
        after = int(await pool.ask("keep", b"70"))
        assert after != before
        assert (pool.answered, pool.over_budget) == (2, 0)
        await ended(before)
        with pytest.raises(OverBudgetError, match="of memory"):
            await pool.ask("keep", b"200")
        assert pool.over_budget == 1


async def test_a_question_may_have_a_budget_of_its_own():
    async with running() as pool:
        assert await pool.ask("wait", b"2", seconds=20) == b""


async def test_a_fault_of_a_worker_is_said_and_it_goes_on():
    async with running() as pool:
        before = await pool.ask("pid", b"")
        with pytest.raises(JudgeError, match="ValueError"):
            await pool.ask("fault", b"")
        with pytest.raises(JudgeError, match="KeyError"):
            await pool.ask("no such task", b"")
        assert await pool.ask("pid", b"") == before


async def test_what_is_printed_is_no_answer():
    async with running() as pool:
        assert await pool.ask("print", b"") == b"printed"
        assert await pool.ask("echo", b"x") == b"x"


async def test_a_worker_that_was_killed_by_another_hand_is_replaced_and_asked_again():
    async with running(seconds=20) as pool:
        pid = int(await pool.ask("pid", b""))
        asked = asyncio.create_task(pool.ask("wait", b"0.5"))
        await asyncio.sleep(0.1)
        os.kill(pid, signal.SIGKILL)
        assert await asked == b""


async def test_workers_are_nice_and_know_nothing_of_the_environment(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    async with running() as pool:
        assert int(await pool.ask("nice", b"")) >= min(19, os.nice(0) + 10)
        pid = int(await pool.ask("pid", b""))
        assert os.getsid(pid) == pid, "it is weighed by itself, not with the operator"
        assert weight_of(pid) in (None, 5)
        there = json.loads(await pool.ask("environment", b""))
    assert set(there) <= {"PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "LC_CTYPE"}


async def test_askers_take_turns_whatever_one_of_them_asks():
    order = []

    async def ask(pool, asker):
        await pool.ask("echo", lambda: order.append(asker) or b"", asker=asker)

    async with running() as pool:
        await pool.ask("echo", b"")
        waiting = [asyncio.create_task(ask(pool, "loud")) for _ in range(50)]
        waiting += [asyncio.create_task(ask(pool, "quiet")) for _ in range(2)]
        await asyncio.gather(*waiting)
    assert [at for at, asker in enumerate(order) if asker == "quiet"][-1] <= 4
    assert len(order) == 52


async def test_what_is_not_wanted_any_more_is_not_asked():
    encoded = []
    async with running() as pool:
        first = asyncio.create_task(pool.ask("wait", b"0.1"))
        second = asyncio.create_task(pool.ask("echo", lambda: encoded.append(1) or b""))
        await asyncio.sleep(0)
        second.cancel()
        await first
        await pool.ask("echo", b"")
    assert encoded == []


async def test_the_end_waits_for_no_answer():
    async with running(seconds=1000) as pool:
        pid = int(await pool.ask("pid", b""))
        asked = [asyncio.create_task(pool.ask("spin", b"")) for _ in range(2)]
        await asyncio.sleep(0.1)
        assert (pool.waiting, is_alive(pid)) == (1, True)
    await ended(pid)
    said = await asyncio.gather(*asked, pool.ask("echo", b""), return_exceptions=True)
    assert [type(each) for each in said] == [JudgeError] * 3


async def test_a_worker_that_cannot_be_started_is_started_again(tmp_path):
    flag = tmp_path / "there"
    script = tmp_path / "worker.py"
    script.write_text(
        f"import pathlib, runpy, sys\nflag = pathlib.Path({str(flag)!r})\n"
        "if not flag.exists():\n    flag.touch(); sys.exit(1)\n"
        f"sys.argv[0] = {WORKER!r}\nrunpy.run_path({WORKER!r}, run_name='__main__')\n"
    )
    async with running(command=(sys.executable, "-P", str(script))) as pool:
        assert await pool.ask("echo", b"x") == b"x"


PARENT = f"""
import asyncio, sys
from podium.judge.pool import Pool
async def main():
    pool = Pool(workers=2, seconds=3, command=({sys.executable!r}, "-P", {WORKER!r}))
    keep = asyncio.create_task(pool.run())
    print(int(await pool.ask("pid", b"")), flush=True)
    task = sys.argv[1]
    await pool.ask(task, b"") if task != "none" else await asyncio.sleep(1000)
asyncio.run(main())
"""


@pytest.mark.parametrize("task", ["none", "spin", "spin in C"])
async def test_workers_end_when_the_operator_was_killed(task):
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, task, stdout=asyncio.subprocess.PIPE
    )
    pid = int(await parent.stdout.readline())
    await asyncio.sleep(0.5)
    parent.kill()
    await parent.wait()
    await ended(pid)


async def test_who_has_a_long_question_does_not_keep_all_workers(monkeypatch):
    monkeypatch.setattr(pool_module, "LONG_SECONDS", 0.0)
    async with running(workers=2, seconds=30) as pool:
        await asyncio.gather(*(pool.ask("pid", b"", asker="a") for _ in range(2)))
        hostile = [asyncio.create_task(pool.ask("spin", b"", asker="hostile")) for _ in range(4)]
        while not pool._answering:  # noqa: ASYNC110 - the pool is as it is
            await asyncio.sleep(0.01)
        assert await pool.ask("echo", b"x", asker="neighbour") == b"x"
        assert [len(each) for each in pool._answering.values()] == [1]
        assert pool.waiting == 3
        for each in hostile:
            each.cancel()


async def test_a_question_that_waits_for_a_long_one_of_its_asker_comes_after_it(monkeypatch):
    monkeypatch.setattr(pool_module, "LONG_SECONDS", 0.0)
    async with running(workers=2, seconds=0.3) as pool:
        said = await asyncio.gather(
            *(pool.ask("spin", b"", asker="a") for _ in range(2)),
            pool.ask("echo", b"x", asker="a"),
            return_exceptions=True,
        )
        assert [type(each) for each in said] == [OverBudgetError, OverBudgetError, bytes]


async def test_however_many_ask_what_takes_long_one_worker_is_left_to_others(monkeypatch):
    monkeypatch.setattr(pool_module, "LONG_SECONDS", 0.0)
    monkeypatch.setattr(pool_module, "SLOW_SECONDS", 0.0)
    async with running(workers=2, seconds=30) as pool:
        hostile = [f"hostile-{number}" for number in range(4)]
        await asyncio.gather(*(pool.ask("echo", b"", asker=each) for each in hostile))
        assert all(map(pool.is_slow, hostile))
        asked = [asyncio.create_task(pool.ask("spin", b"", asker=each)) for each in hostile]
        while not pool._answering:  # noqa: ASYNC110 - the pool is as it is
            await asyncio.sleep(0.01)
        assert await pool.ask("echo", b"x", asker="neighbour") == b"x"
        assert await pool.ask("echo", b"y", asker="another") == b"y"
        assert list(pool._answering) == hostile[:1]
        assert pool.waiting == 3
        for each in asked:
            each.cancel()


async def test_who_was_slow_counts_so_for_some_time_only(monkeypatch):
    monkeypatch.setattr(pool_module, "SLOW_SECONDS", 0.0)
    monkeypatch.setattr(pool_module, "SLOW_FOR_SECONDS", 0.0)
    async with running(workers=2, seconds=30) as pool:
        for number in range(3):
            await pool.ask("echo", b"", asker=str(number))
        assert not any(map(pool.is_slow, "012"))
        assert len(pool._slow_until) == 1, "what is over is forgotten"


async def test_a_pool_that_answers_nothing_says_so():
    async with running(seconds=30) as pool:
        await pool.ask("echo", b"")
        await asyncio.sleep(0.2)
        assert pool.stalled == 0.0, "there is nothing to answer"
        asked = asyncio.create_task(pool.ask("wait", b"10"))
        await asyncio.sleep(0.2)
        assert 0.1 < pool.stalled < 10
        asked.cancel()
