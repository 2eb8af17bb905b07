"""Which fact an answer of a QuestionnaireResponse sets, by the linkId of its item."""

from collections.abc import Mapping

import msgspec

__all__ = ["Questions"]


class Questions(msgspec.Struct, frozen=True):
    """linkId -> fact.

    The bundled questionnaire's linkIds are everyday words ("walking"), so they count only in answers to that
    questionnaire, `url`. A site names its own items in its overlay, and those count wherever they stand.
    """

    url: str = ""
    bundled: Mapping[str, str] = {}
    site: Mapping[str, str] = {}

    def of(self, questionnaire: str | None) -> Mapping[str, str]:
        """The items of a questionnaire, given by its canonical URL with or without a version."""
        if questionnaire is None or questionnaire.partition("|")[0] != self.url:
            return self.site
        return {**self.bundled, **self.site}
