"""Write the files again."""

from typing import get_args

from service.registration_steps import Ehr
from tests.service.registrations import file_of, kept

for ehr in get_args(Ehr):
    file_of(ehr).write_text(kept(ehr), encoding="utf-8")
