"""How one call is answered: from the bytes an EHR sends to the cards it shows."""

__all__ = ["__version__"]

__version__ = "0.1.0"
