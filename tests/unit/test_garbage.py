from __future__ import annotations

import gc
import os
import threading

import pytest

from memsdk.garbage import _collector, no_full_collection


def full_collections() -> int:
    """How many there have been."""
    return int(gc.get_stats()[2]["collections"])


def make_objects() -> None:
    """As many as a long list of records is made of; they stay, as the records do."""
    kept = [{"number": {"n": number}} for number in range(400_000)]
    assert kept


def test_a_long_list_is_written_without_full_collections() -> None:
    """Each looks at every object of the program: a twentieth of an ingest's time."""
    before = full_collections()
    make_objects()
    assert full_collections() > before, "else this test shows nothing"
    before = full_collections()
    with no_full_collection():
        make_objects()
    assert full_collections() == before


def test_the_thresholds_come_back_when_the_last_thread_is_done() -> None:
    """A program whose garbage is never collected again runs out of memory days later."""
    usual = gc.get_threshold()
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with no_full_collection():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with no_full_collection():
        thread.start()
        assert inside.wait(10)
    assert gc.get_threshold() != usual
    leave.set()
    thread.join()
    assert gc.get_threshold() == usual


def test_what_the_program_sets_meanwhile_stays() -> None:
    """A program that tunes its collector in another thread has its reasons."""
    usual = gc.get_threshold()
    try:
        with no_full_collection():
            gc.set_threshold(900, 9, 9)
        assert gc.get_threshold() == (900, 9, 9)
    finally:
        gc.set_threshold(*usual)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_collects_as_usual_whatever_its_parents_threads_were_at() -> None:
    """They are not there to end their blocks: the child would never collect again, or wait for their lock for ever."""
    usual = gc.get_threshold()
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with no_full_collection(), _collector._lock:
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(10)
    child = os.fork()
    if not child:
        with no_full_collection():
            pass
        os._exit(int(gc.get_threshold() != usual))
    leave.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
