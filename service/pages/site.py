"""What all pages share: the template environment, the policy browsers hold them to, errors in words.

Pages are made on the server and work without script. Every address in them is relative, so that they also
work below a path of a reverse proxy. Source: WCAG 2.2 AA; Content Security Policy Level 3.
"""

from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import Response

from hooks.errors import HookError
from service import __version__
from service.desk import Desk
from service.errors import CallError, answer
from service.pages.markup import breakable, detail_html

__all__ = ["POLICY", "Handler", "Site", "told"]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
Handler = Callable[[Request, Desk], Awaitable[Response]]


class Site:
    """Renders the templates of service/templates into answers."""

    def page(
        self, request: Request, desk: Desk, template: str, status: int = 200, **members: Any
    ) -> Response:
        """A page; `members` are what its template reads beside what every page gets."""
        text = (
            _environment()
            .get_template(template)
            .render(
                root=_root(request),
                here=request.url.path,
                version=__version__,
                bundle=desk.knowledge.bundle,
                settings=desk.settings,
                **members,
            )
        )
        headers = {"Content-Security-Policy": POLICY}
        return Response(text.encode("utf-8", "replace"), status, headers, "text/html")

    def for_people(self, handler: Handler) -> Handler:
        """The handler with its errors shown as a page: code, sentence, what to do."""

        async def shown(request: Request, desk: Desk) -> Response:
            try:
                return await handler(request, desk)
            except (CallError, HookError) as error:
                reply = answer(error)
                desk.metrics.refused(reply)
                response = self.page(request, desk, "error.html", reply.status, error=told(error))
                response.headers.update(reply.headers)
                return response

        return shown


@cache
def _environment() -> jinja2.Environment:
    """Made once in a process, since compiling the templates takes a while."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("service"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["detail_html"] = detail_html
    environment.filters["breakable"] = breakable
    return environment


def told(error: CallError | HookError) -> dict[str, str]:
    """An error as a page shows it."""
    text = error.text if isinstance(error, CallError) else error.message
    return {"code": error.code, "text": text, "action": error.action}


def _root(request: Request) -> str:
    """The way from the page to the root of the service. The path as it was typed decides: behind a slash at
    its end a browser starts one level lower.
    """
    typed: bytes = request.scope.get("raw_path") or request.url.path.encode()
    return "../" * (typed.partition(b"?")[0].count(b"/") - 1) or "./"
