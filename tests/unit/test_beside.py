from __future__ import annotations

import threading
import time

import pytest

from memsdk.beside import beside, each_beside, helping, wait_for


def test_results_are_in_order_and_every_thread_takes_part() -> None:
    """Vectors in another order would be other records' vectors."""
    threads = set()

    def square(number: int) -> int:
        threads.add(threading.get_ident())
        time.sleep(0.002)
        return number * number

    assert each_beside(square, range(50), threads=2) == [number * number for number in range(50)]
    assert len(threads) == 2


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_first_error_is_raised_and_ends_the_rest(threads: int) -> None:
    """A batch that the encoder refuses: nobody waits for the thousand after it."""
    called = []

    def fail(number: int) -> int:
        called.append(number)
        time.sleep(0.001)
        if number == 3:
            raise ValueError("the fourth")
        return number

    with pytest.raises(ValueError, match="the fourth"):
        each_beside(fail, range(1_000), threads=threads)
    assert len(called) < 20


def test_nothing_is_asked_for_nothing() -> None:
    """No thread waits for work that never comes."""
    assert each_beside(lambda item: item, [], threads=2) == []


def test_who_waits_helps_and_no_thread_more_computes() -> None:
    """Three threads on two cores: each switch between them costs a cache, which an import felt (docs/speed.md)."""
    threads, at_once, most = set[int](), 0, 0
    counting = threading.Lock()

    def square(number: int) -> int:
        nonlocal at_once, most
        with counting:
            threads.add(threading.get_ident())
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.002)
        with counting:
            at_once -= 1
        return number * number

    with helping():
        others = beside(lambda: each_beside(square, range(60), threads=2))
        assert wait_for(others) == [number * number for number in range(60)]
    assert threading.get_ident() in threads
    assert (len(threads), most) == (2, 2)


def test_who_is_not_helping_only_waits() -> None:
    """A thread of the application that happens to wait is no worker of ours."""
    threads = set[int]()
    others = beside(lambda: each_beside(lambda _: threads.add(threading.get_ident()), range(20), threads=2))
    wait_for(others)
    assert threading.get_ident() not in threads


def test_an_error_while_helping_is_the_job_s_own() -> None:
    """The helper waits for something else: a text that the encoder refuses must not look like a failed send."""
    helped = threading.Event()
    me = threading.get_ident()

    def fail_here(_: int) -> None:
        if threading.get_ident() == me:
            helped.set()
            raise ValueError("refused")
        helped.wait(5)

    with helping():
        job = beside(lambda: each_beside(fail_here, range(100), threads=2))
        waited = beside(lambda: helped.wait(5))
        assert wait_for(waited) is True
        with pytest.raises(ValueError, match="refused"):
            wait_for(job)


def test_ctrl_c_while_helping_ends_the_job_and_reaches_the_caller() -> None:
    """Else the job's own thread would wait for ever for the item that the helper had taken."""
    me = threading.get_ident()

    def interrupted(_: int) -> None:
        if threading.get_ident() == me:
            raise KeyboardInterrupt
        time.sleep(0.01)

    with helping():
        job = beside(lambda: each_beside(interrupted, range(10_000), threads=2))
        with pytest.raises(KeyboardInterrupt):
            wait_for(job)
    with pytest.raises(KeyboardInterrupt):
        job.result(timeout=5)


def test_its_own_help_does_not_leave_a_job_short_of_threads() -> None:
    """Who embeds in the very thread that would help while it waits still has the other cores."""
    threads = set[int]()

    def work(_: int) -> None:
        threads.add(threading.get_ident())
        time.sleep(0.002)

    with helping():
        each_beside(work, range(40), threads=2)
    assert len(threads) == 2
