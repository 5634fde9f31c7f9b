"""Jobs beside the caller: in order, one at a time, and their errors reach the caller."""

import threading

import pytest

from crossdiff.activations.background import Background


def test_jobs_run_in_order_beside_the_caller():
    done, go = [], threading.Event()
    with Background() as background:
        background.submit(lambda: (go.wait(10), done.append(0)))
        assert not done  # the caller goes on
        go.set()
        for number in range(1, 5):
            background.submit(lambda number=number: done.append(number))
            assert done[:number] == list(range(number))
    assert done == list(range(5))


def failing():
    raise OSError("no space left")


def test_an_error_stops_the_next_job():
    done = []

    def both():
        with Background() as background:
            background.submit(failing)
            background.submit(lambda: done.append(1))

    with pytest.raises(OSError, match="no space"):
        both()
    assert not done


def test_an_error_of_the_last_job_is_raised_at_the_end():
    with pytest.raises(OSError, match="no space"), Background() as background:
        background.submit(failing)


def test_the_job_under_way_is_finished_when_the_caller_fails():
    done = []

    def fail():
        with Background() as background:
            background.submit(lambda: done.append(1))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert done == [1]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("background")]
