"""Fetching side by side what was not sent, until the time is up."""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import Any

import msgspec

from service.fhir import Harvest, Session
from service.queries import Query
from service.resources import Bundle
from service.searchsets import contents
from service.wire import FetchError

__all__ = ["Fetch", "fetch_queries", "fetch_references"]


class Fetch(msgspec.Struct):
    """A query to be put, or, with `link`, only its further pages; `failure` is empty or a reason.

    `ended` is in nanoseconds since 1970, and 0 when the time was up before it began.
    """

    query: Query
    harvest: Harvest
    link: str | None = None
    failure: str = ""
    ended: int = 0


async def fetch_queries(session: Session, fetches: Sequence[Fetch], patient_id: str) -> None:
    """Fill the harvests. What had arrived when the time was up is kept and marked."""
    jobs = [_one(session, fetch, patient_id) for fetch in fetches]
    began = time.time_ns()
    for fetch, failure in zip(fetches, await _until(session.deadline, jobs), strict=True):
        if failure and (fetch.link or fetch.harvest.values):
            fetch.harvest.partial = fetch.harvest.partial or failure
        else:
            fetch.failure = failure
        if session.queried is not None:
            session.queried(_told(session, fetch), began, fetch.ended or time.time_ns())


async def fetch_references(session: Session, names: Sequence[str], harvest: Harvest) -> None:
    """Read instances, each `Type/id`, into the harvest; one that cannot be had is left out."""
    await _until(session.deadline, [session.read(name, harvest) for name in names])


async def _one(session: Session, fetch: Fetch, patient_id: str) -> None:
    try:
        if fetch.link is not None:
            await session.follow(fetch.link, fetch.harvest)
        elif fetch.query.is_read:
            await session.read(f"Patient/{patient_id}", fetch.harvest)
        else:
            await session.search(fetch.query.request(patient_id), fetch.harvest)
    finally:
        fetch.ended = time.time_ns()


def _told(session: Session, fetch: Fetch) -> dict[str, Any]:
    """What may be said of a query: nothing of what was searched for or found but how much."""
    values = fetch.harvest.values
    return {
        "host": session.base.host,
        "key": fetch.query.key,
        "resource": fetch.query.resource_type,
        "result": fetch.failure or fetch.harvest.partial or "ok",
        "rows": sum(contents(one).count if isinstance(one, Bundle) else 1 for one in values),
    }


async def _until(deadline: float, jobs: Sequence[Coroutine[Any, Any, None]]) -> list[str]:
    """Run all jobs to the deadline; for each the empty string, or why it failed."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        if tasks:
            await asyncio.wait(tasks, timeout=max(0.0, deadline - asyncio.get_running_loop().time()))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return [_failure(task) for task in tasks]


def _failure(task: "asyncio.Task[None]") -> str:
    if task.cancelled():
        return "deadline"
    error = task.exception()
    if error is None:
        return ""
    if isinstance(error, FetchError):
        return error.reason
    raise error
