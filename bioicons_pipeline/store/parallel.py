"""Many small writes at once: an fsync waits for the disk, not for the processor.

Does not belong here: anything that knows what is written. Follows `concurrent.futures` of the standard
library; what it adds is progress, and that the first error, or Ctrl-C, leaves no thread at work.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

WORKERS = 8
BATCH = 64

Progress = Callable[[int, int], None]
Item = TypeVar("Item")
Result = TypeVar("Result")


def map_all(
    function: Callable[[Item], Result], items: Sequence[Item], progress: Progress | None = None
) -> list[Result]:
    """`function` of every item, in the order of the items; `progress(done, total)` after each.

    Raises:
        whatever `function` raises first; what has not begun by then is not begun.
    """
    executor = ThreadPoolExecutor(max_workers=max(1, min(WORKERS, len(items))))
    try:
        futures = [executor.submit(function, item) for item in items]
        for done, future in enumerate(as_completed(futures), start=1):
            future.result()
            if progress:
                progress(done, len(items))
        return [future.result() for future in futures]
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def map_batches(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """The same for work of microseconds an item, of which handing it to a thread would be the most."""
    batches = [items[start : start + BATCH] for start in range(0, len(items), BATCH)]
    found = map_all(lambda batch: [function(item) for item in batch], batches)
    return [result for batch in found for result in batch]
