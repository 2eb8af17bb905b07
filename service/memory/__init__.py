"""Memory: what was decided, shown and answered; what of it keeps a card quiet; what operators see of it.

`memory.Memory` is what the desk talks to. Behind it `store.Store` is the interface of `sqlite` and
`postgres`, and `writer` the thread that writes.
"""

__all__: list[str] = []
