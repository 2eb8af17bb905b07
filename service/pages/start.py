"""The first page."""

from collections import Counter

from starlette.requests import Request
from starlette.responses import Response

from rules.engine import list_rules
from service.desk import SERVICE_ID, Desk
from service.pages.site import Site

__all__ = ["StartPages"]


class StartPages:
    def __init__(self, site: Site) -> None:
        self._site = site

    async def start(self, request: Request, desk: Desk) -> Response:
        rows = list_rules(desk.knowledge.bundle)
        by_urgency = Counter(row.urgency for row in rows)
        return self._site.page(
            request, desk, "start.html", rules=len(rows), by_urgency=by_urgency, service=SERVICE_ID
        )
