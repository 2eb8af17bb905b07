"""Each render profile against its files."""

import pytest

from tests.golden import PATIENTS, PROFILES, answers, file_of


@pytest.mark.parametrize("profile", PROFILES)
def test_the_answers_are_those_of_the_files(profile: str) -> None:
    """After a change that is meant, run `python -m tests.golden` and read the difference."""
    given = answers(PROFILES[profile])
    assert given == {patient: file_of(profile, patient).read_text(encoding="utf-8") for patient in PATIENTS}
