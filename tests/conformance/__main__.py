"""`python -m tests.conformance`: write docs/reference/conformance.md again."""

from tests.conformance.page import PAGE, REPOSITORY, page

if __name__ == "__main__":
    (REPOSITORY / PAGE).write_text(page(), "utf-8")
