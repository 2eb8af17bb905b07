"""From a record to facts: everything the rules of one hook read, and nothing they do not.

`extract` runs the groups in an order that lets later ones read earlier facts, over defaults that say what
an absent entry means when its data were read: false, none, or unknown (`absence` in rules/facts.yaml).
"""

from collections.abc import Mapping
from functools import lru_cache

from rules.engine.facts import FactSet, FactSpec, Vocabulary
from service.facts import cancer, care, context, imaging, laboratory, neurology, orders, pain, person
from service.facts.derivation import Derivation
from service.facts.record import Record

__all__ = ["extract"]


def extract(
    record: Record,
    vocabulary: Vocabulary,
    wanted: frozenset[str],
    available: frozenset[str],
    upper_limits: Mapping[str, float],
) -> Derivation:
    """The facts of a call, in the derivation that wrote them.

    `wanted` are fact names, `available` the data needs that were read in full, `upper_limits` the site's
    upper limits of normal by analyte in canonical units.
    """
    facts = FactSet(vocabulary)
    facts.values[:] = defaults(vocabulary, available)
    derivation = Derivation(record, facts, wanted, available)
    person.derive(derivation)
    pain.derive(derivation)
    neurology.derive(derivation)
    cancer.derive(derivation)
    context.derive(derivation)
    care.derive(derivation)
    laboratory.derive(derivation, dict(upper_limits))
    imaging.derive(derivation)
    orders.derive(derivation)
    return derivation


@lru_cache(maxsize=256)
def defaults(vocabulary: Vocabulary, available: frozenset[str]) -> list[object]:
    """What each fact is when nothing is on record: by its `absence`, and unknown when its data were not read.
    Shared between calls: copy it before writing.
    """
    return [_default(spec, available) for spec in vocabulary]


def _default(spec: FactSpec, available: frozenset[str]) -> object:
    return spec.absent_value if available.issuperset(spec.needs) and not spec.engine else None
