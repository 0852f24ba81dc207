"""How the threads of an OpenMP pool wait for each other."""

import os

SPIN_COUNT = 5000  # rounds of some 15 ns each: longer than the threads of one operation usually differ
_WAIT_VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


def limit_spinning() -> None:
    """Let the threads that torch will use wait asleep, unless the environment says how they wait.

    By default they spin for 4 ms at the end of each operation, about as long as another process may keep the core that
    the last of them needs. A thread that sleeps instead leaves its own core to that last one. GNU's OpenMP library,
    which torch's Linux wheels bring, reads the variable when torch is imported, so this comes first. It counts for the
    whole process, so only commands call it.
    """
    if not any(name in os.environ for name in _WAIT_VARIABLES):
        os.environ["GOMP_SPINCOUNT"] = str(SPIN_COUNT)
