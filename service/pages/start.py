"""The first page, and how the service stands. Neither shows anything of a patient or a secret."""

from collections import Counter

from starlette.requests import Request
from starlette.responses import Response

from hooks import REGISTRY
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

    async def status(self, request: Request, desk: Desk) -> Response:
        """What /readyz says, for people. Client ids are named outside production only: the page is open."""
        rows = list_rules(desk.knowledge.bundle)
        clients = [client.id for client in desk.gate.clients]
        return self._site.page(
            request,
            desk,
            "status.html",
            standing=desk.standing(),
            hooks=list(REGISTRY),
            service=SERVICE_ID,
            client_count=len(clients),
            clients=clients if desk.settings.profile != "production" else [],
            modes=Counter("off" if row.off else row.mode for row in rows),
            off=[row for row in rows if row.off or row.mode != "live"],
            overlay=desk.knowledge.bundle.overlay,
        )
