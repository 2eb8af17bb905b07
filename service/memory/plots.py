"""Plots as SVG text, for one self-contained page. Each has its numbers as a text too, for who
cannot see it.
"""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

__all__ = ["bars", "run_chart"]

_WIDTH, _HEIGHT = 240, 36
_BAR, _ROW, _LABEL = 320, 20, 280


def run_chart(counts: Sequence[int], what: str) -> Markup:
    """A bar a day, scaled to the highest."""
    highest = max(counts, default=0) or 1
    width = _WIDTH / max(1, len(counts))
    shapes = Markup("").join(
        Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
            number * width, _HEIGHT * (1 - count / highest), max(0.5, width - 1), _HEIGHT * count / highest
        )
        for number, count in enumerate(counts)
        if count
    )
    label = f"{what}: {sum(counts)} in {len(counts)} days, at most {max(counts, default=0)} a day"
    return Markup('<svg class="run" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        _WIDTH, _HEIGHT, label, shapes
    )


def bars(counts: Mapping[str, int], what: str) -> Markup:
    """A labelled bar for each entry, longest first as given."""
    highest = max(counts.values(), default=0) or 1
    shapes = Markup("").join(
        Markup(
            '<text x="{}" y="{}" text-anchor="end">{}</text><rect x="{}" y="{}" width="{:.1f}" height="12"/>'
            '<text x="{:.1f}" y="{}">{}</text>'
        ).format(
            _LABEL - 6,
            number * _ROW + 14,
            name,
            _LABEL,
            number * _ROW + 4,
            _BAR * count / highest,
            _LABEL + _BAR * count / highest + 6,
            number * _ROW + 14,
            count,
        )
        for number, (name, count) in enumerate(counts.items())
    )
    label = f"{what}: " + ", ".join(f"{name} {count}" for name, count in counts.items())
    return Markup('<svg class="bars" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        _LABEL + _BAR + 60, max(1, len(counts)) * _ROW + 4, label, shapes
    )
