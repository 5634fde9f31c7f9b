"""One job at a time on a thread of its own, while the caller goes on computing."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType


class Background:
    """Runs jobs in the order they are given, one at a time.

    A job waits for the one before it, and so does whoever gives it: at most one is under way, and none is queued.
    What a job raises is raised by the next `submit`, or when the block ends; no later job has been started then.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="background")
        self._last: Future[object] | None = None

    def submit(self, job: Callable[[], object]) -> None:
        """Start ``job`` once the last one is done; raises what that raised."""
        self.wait()
        self._last = self._pool.submit(job)

    def wait(self) -> None:
        """Until the last job is done; raises what it raised."""
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def __enter__(self) -> "Background":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.wait()
        finally:
            self._pool.shutdown()
