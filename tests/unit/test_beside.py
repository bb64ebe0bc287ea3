from __future__ import annotations

import threading
import time

import pytest

from memsdk.beside import each_beside


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
