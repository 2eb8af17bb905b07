"""The routes of the pages, for service.app."""

from service.pages.catalogue import CataloguePages
from service.pages.figures import Ledger
from service.pages.playground import Playground
from service.pages.site import Handler, Site
from service.pages.sources import SourcePages
from service.pages.start import StartPages
from service.pages.status import StatusPage

__all__ = ["page_routes"]


def page_routes() -> list[tuple[str, Handler, str]]:
    """(path, handler, method) of every page. Made once in a worker: what is slow to make is kept."""
    site = Site()
    ledger = Ledger()
    start, status, playground = StartPages(site), StatusPage(site, ledger), Playground(site)
    catalogue, sources = CataloguePages(site, ledger), SourcePages(site)
    return [
        ("/", site.for_people(start.start), "GET"),
        ("/status", site.for_people(status.page), "GET"),
        ("/rules", site.for_people(catalogue.rules), "GET"),
        ("/rules/{rule_id}", site.for_people(catalogue.rule), "GET"),
        ("/value-sets/{name}", site.for_people(catalogue.value_set), "GET"),
        ("/source-attributes", site.for_people(sources.page), "GET"),
        ("/source-attributes.json", sources.json, "GET"),
        ("/source-attributes.csv", sources.csv, "GET"),
        ("/playground", site.for_people(playground.show), "GET"),
        ("/playground", site.for_people(playground.run), "POST"),
    ]
