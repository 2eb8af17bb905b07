"""Rules packed into one archive, from the very bytes that were checked."""

from pathlib import Path

from rules.engine import BundleError, Overlay, Problem, load, run_tests
from rules.engine.archive import SITE, Archive, assemble, collect
from service import __version__
from service.bundles import laid_out
from service.fitting import unfit
from service.knowledge import order_problems, question_problems, site_problems
from service.policy import case_policy

__all__ = ["pack_rules"]


def pack_rules(root: Path, site: Path | None, created: str) -> Archive:
    """An unsigned archive of the rules below `root`, with a site's file where there is one.

    Raises BundleError for rules that could not be loaded, or fail a case of their own, and OSError.
    """
    files = collect(root)
    with laid_out(files) as folder:
        failed = list(_failed(folder))
    if failed:
        raise BundleError(failed)
    if site is not None:
        files[SITE] = site.read_bytes()
    with laid_out(files) as folder:
        overlay = Overlay.load(folder / SITE) if site is not None else Overlay()
        bundle = load(folder, overlay=overlay)
        if problems := list(site_problems(overlay, folder)):
            raise BundleError(problems)
    at_least, below = _suited()
    return assemble(
        files,
        version=bundle.version,
        digest=bundle.digest,
        at_least=at_least,
        below=below,
        created=created,
    )


def _failed(root: Path) -> list[Problem]:
    """What is wrong with rules that load, without a site's file: a site's thresholds are not what the cases
    speak about. X004 is a case that fails.
    """
    bundle = load(root)
    found = [*order_problems(bundle), *question_problems(root, bundle), *unfit(bundle)]
    for report in run_tests(bundle, policy=case_policy):
        found += [
            Problem(case.path, case.line, "X004", f"{case.name}: expected {case.expected}, got {case.got}")
            for case in report.results
            if not case.passed
        ]
    return found


def _suited() -> tuple[str, str]:
    """The versions that can be promised to load what this one packs: from this one to the next that may
    break things.
    """
    major, minor = map(int, __version__.split(".")[:2])
    return __version__, f"{major + 1}.0.0" if major else f"0.{minor + 1}.0"
