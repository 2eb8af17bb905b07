"""The public surface of the package."""

import importlib
import pkgutil
from types import ModuleType

import hooks


def test_all_names_exactly_what_the_package_binds() -> None:
    bound = {
        name
        for name, value in vars(hooks).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert sorted(bound) == sorted(hooks.__all__)


def test_every_module_names_what_it_gives() -> None:
    found = list(pkgutil.iter_modules(hooks.__path__))
    assert len(found) > 10
    for info in found:
        module = importlib.import_module(f"hooks.{info.name}")
        assert module.__all__ == sorted(module.__all__, key=_isort_key), info.name
        assert all(hasattr(module, name) for name in module.__all__), info.name


def _isort_key(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)
