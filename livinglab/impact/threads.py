"""One thread: matrices as small as ours wait longer for a second one than it helps them.

On a machine with other work a triangle of 500 by 40 took 250 ms with two threads and 0.2 ms with
one: the library's threads wait for each other by turning in circles.
"""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import numpy as np  # noqa: F401 - both bring a pool of their own, which must be there to be found
import scipy.linalg  # noqa: F401 - see above
from threadpoolctl import ThreadpoolController

P = ParamSpec("P")
R = TypeVar("R")
_pools = ThreadpoolController()


def one_thread(work: Callable[P, R]) -> Callable[P, R]:
    """Let linear algebra use one thread while this works, in the whole process."""

    @wraps(work)
    def alone(*args: P.args, **kwargs: P.kwargs) -> R:
        with _pools.limit(limits=1, user_api="blas"):
            return work(*args, **kwargs)

    return alone
