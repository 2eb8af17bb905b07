"""Write the files again."""

from tests.golden import PROFILES, answers, file_of

for profile, client in PROFILES.items():
    for patient, text in answers(client).items():
        file = file_of(profile, patient)
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
