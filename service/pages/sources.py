"""The source attributes of HTI-1 as a page, JSON and CSV. Source: 45 CFR 170.315(b)(11)(iv)."""

from starlette.requests import Request
from starlette.responses import Response

from service.attributes import source_attributes, to_csv, to_json
from service.desk import Desk
from service.pages.site import Site

__all__ = ["SourcePages"]


class SourcePages:
    """One answer in three forms."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def page(self, request: Request, desk: Desk) -> Response:
        found = source_attributes(desk.knowledge.bundle)
        open_ones = [one for group in found.predictive for one in group.attributes if not one.answered]
        return self._site.page(
            request, desk, "source-attributes.html", found=found, unanswered=len(open_ones)
        )

    async def json(self, request: Request, desk: Desk) -> Response:
        return Response(to_json(source_attributes(desk.knowledge.bundle)), media_type="application/json")

    async def csv(self, request: Request, desk: Desk) -> Response:
        text = to_csv(source_attributes(desk.knowledge.bundle))
        headers = {"Content-Disposition": 'attachment; filename="tocsin-source-attributes.csv"'}
        return Response(text, media_type="text/csv", headers=headers)
