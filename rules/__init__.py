"""What we look for: the fact vocabulary, the rule catalogue, the code sets, the evidence, and the engine that
reads them.
"""

__all__: list[str] = []
