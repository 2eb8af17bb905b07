"""Pages for people: start, playground, rules with their basis, value sets, source attributes, status."""

from service.pages.routes import page_routes

__all__ = ["page_routes"]
