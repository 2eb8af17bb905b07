"""The migrations, oldest first. Each only adds, and says which level of code may still use the store after
it.
"""

__all__: list[str] = []
