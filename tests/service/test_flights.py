"""Fetched once, kept for a while, shared meanwhile."""

import asyncio

import pytest

from service.flights import Flights


class _Source:
    def __init__(self, seconds: float = 60.0, delay: float = 0.01) -> None:
        self.calls = 0
        self.seconds = seconds
        self.delay = delay

    async def fetch(self, key: str) -> tuple[str, float]:
        self.calls += 1
        await asyncio.sleep(self.delay)
        return f"{key}{self.calls}", self.seconds


async def test_a_hundred_callers_share_one_fetch_and_the_value_is_kept() -> None:
    source = _Source()
    flights = Flights(source.fetch)
    assert set(await asyncio.gather(*(flights.get("a") for _ in range(100)))) == {"a1"}
    assert await flights.get("a") == flights.known("a") == "a1"
    assert await flights.get("b") == "b2"


async def test_a_value_is_fetched_again_when_its_time_is_over() -> None:
    source = _Source(seconds=0.0)
    flights = Flights(source.fetch)
    assert await flights.get("a") == "a1"
    assert flights.known("a") is None
    assert await flights.get("a") == "a2"


async def test_a_caller_who_gives_up_leaves_the_fetch_to_the_next() -> None:
    source = _Source(delay=0.05)
    flights = Flights(source.fetch)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await flights.get("a")
    assert await flights.get("a") == "a1"
    assert source.calls == 1


async def test_starting_does_not_wait_and_does_not_start_twice() -> None:
    source = _Source()
    flights = Flights(source.fetch)
    flights.start("a")
    flights.start("a")
    assert flights.known("a") is None
    assert await flights.get("a") == "a1"
    flights.start("a")
    assert source.calls == 1


async def test_closing_ends_what_is_under_way() -> None:
    flights = Flights(_Source(delay=60).fetch)
    flights.start("a")
    await flights.aclose()
    assert flights.known("a") is None
