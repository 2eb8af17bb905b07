"""What is tuned once in a process before it answers its first call."""

import gc

__all__ = ["tune_gc"]


def tune_gc() -> None:
    """Take what start-up made out of the garbage collector's sight, and collect less often.

    Decoding a large body makes many containers, which starts full collections over a heap that FastAPI,
    pydantic and the rule bundle have made large: 33 ms instead of 1.9 ms at the 99th percentile of a 177 kB
    call. Frozen objects are never scanned again; the thresholds keep the young generation to about one call.
    Call it last in start-up, in each worker.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)
