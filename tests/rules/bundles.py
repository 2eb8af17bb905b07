"""A small bundle on disk, good as written, which tests change one thing in."""

from functools import cache
from pathlib import Path

from rules.engine.bundle import Bundle, check, load
from rules.engine.overlay import Overlay

FACTS = """\
schema_version: 1
records:
  imaging: {modality: {type: string, values: [mri, xray]}, regions: list<string>, days: int}
facts:
  - {name: cancer.any, type: bool, says: Cancer now or before, label: cancer, absence: "false"}
  - {name: pain.back.current, type: bool, says: Back pain is current, label: back pain}
  - {name: pain.back.days, type: int, kind: days, unit: d, says: Days of back pain, label: onset of back pain}
  - {name: pain.night, type: bool, says: Night pain, label: night pain}
  - {name: labs.crp.value, type: float, kind: quantity, unit: mg/L, says: CRP, label: CRP}
  - {name: care.palliative, type: string, says: Palliative status, values: [none, hospice], absence: "none"}
  - {name: cancer.sites, type: list<string>, says: Cancer sites}
  - {name: imaging.studies, type: list<imaging>, says: Imaging, absence: "none"}
  - {name: fired.any, type: bool, says: Any other rule fires, engine: true}
"""

EVIDENCE = """\
schema_version: 1
checked: 2026-11-23
evidence:
  - id: E-ONE
    citation: "One A. A study of backs. 2020"
    kind: cohort
    measured: ["a thing"]
    limits: "one clinic"
    status: verified-abstract
    year: 2020
"""

ORDERS = """\
schema_version: 1
orders:
  mri-spine:
    says: Order MRI of the spine
    kind: imaging
    modality: mri
    regions: [lumbar-spine]
    sets: [imaging-mri-spine]
    resources: [{resourceType: ServiceRequest}]
  xray-spine:
    says: Order X-ray of the spine
    kind: imaging
    sets: [imaging-mri-spine]
    in_pregnancy: mri-spine
    resources: [{resourceType: ServiceRequest}]
"""

UNITS = """\
schema_version: 1
analytes:
  crp: {says: CRP, canonical: mg/L, sets: [lab-crp], plausible: [0, 1000], units: {mg/L: 1}, spellings: {}}
"""

SETS = "set,title,strength,broader,overrules,note\nimaging-mri-spine,MRI,strong,,,\nlab-crp,CRP,strong,,,\n"
SYSTEMS = "uri,system,reads,note\nhttp://loinc.org,loinc,loinc,\n"
CODES = (
    "set,system,code,match,tier,display,verified,source,licence,note\n"
    "lab-crp,loinc,1988-5,exact,,C reactive protein,yes,LOINC,LOINC,\n"
)
EXTENSION = "set,system,code,match,tier,display,verified,source,licence,note\n"

CANCER = """\
id: cancer-back
version: 1.0.0
title: Back pain and cancer
topic: CANCERBACK
status: approved
owner: clinical-content
review_by: 2027-06-30
released: 2026-11-25
pathology: malignancy
region: back
urgency: warning
act_within: 2 weeks
module: standard
hooks: [patient-view, order-sign]
purpose: Finds back pain of {min_days} days with cancer.
limits: [Small numbers]
params:
  min_days: {value: 14, type: int, unit: d, min: 7, max: 42, says: Shortest duration of back pain}
population:
  - {says: Back pain is current, cel: pain.back.current}
when:
  all:
    - {says: Cancer now or before, cel: cancer.any}
    - says: "Back pain for at least {min_days} days"
      cel: pain.back.days >= params.min_days
      if_unknown: met
      unknown_says: Onset not recorded; taken as long enough
    - says: A sign of disease
      any:
        - {says: Night pain, cel: pain.night}
        - {says: CRP 50 or more, cel: labs.crp.value >= 50.0}
supersedes: [quiet]
suppression: [S1, S3, S4]
key_imaging: {regions: [lumbar-spine], modalities: [mri]}
key_orders: [imaging-mri-spine]
ask: [pain.night]
show: [cancer.any, pain.back.days]
card:
  warning:
    summary: Back pain and cancer
    lead: "Pain for {fact:pain.back.days}."
    consider: ["Call {contact:mscc}", Consider MRI]
  info:
    summary: Back pain and cancer, MRI on file
    lead: "Read the report of {imaging_date}."
    consider: []
suggest: [mri-spine]
evidence: [E-ONE]
"""

CANCER_TESTS = """\
now: 2026-11-25
cases:
  - name: fires
    kind: fires
    facts: {pain.back.current: true, pain.back.days: 20, cancer.any: true, pain.night: true}
    expect: fired
  - name: fourteen days
    kind: boundary
    facts: {pain.back.current: true, pain.back.days: 14, cancer.any: true, labs.crp.value: 50.0}
    expect: fired
  - name: thirteen days
    kind: boundary
    facts: {pain.back.current: true, pain.back.days: 13, cancer.any: true, pain.night: true}
    expect: not-fired
  - name: onset not recorded
    kind: fires
    facts: {pain.back.current: true, cancer.any: true, pain.night: true, labs.crp.value: "<5"}
    expect: fired
  - name: no cancer
    kind: silent
    facts: {pain.back.current: true, pain.back.days: 20, pain.night: true}
    expect: not-fired
  - name: cancer unknown
    kind: cannot-tell
    facts: {pain.back.current: true, pain.back.days: 20, cancer.any: null, pain.night: true}
    expect: not-enough-data
  - name: nothing found
    kind: silent
    facts: {pain.back.current: true, pain.back.days: 20, cancer.any: true, pain.night: false,
      labs.crp.value: 49.9}
    expect: not-fired
  - name: cannot tell
    kind: cannot-tell
    facts: {pain.back.current: true, pain.back.days: 20, cancer.any: true, labs.crp.value: ">45"}
    expect: not-enough-data
  - name: no pain
    kind: silent
    facts: {pain.back.current: false, pain.back.days: 20, cancer.any: true, pain.night: true}
    expect: excluded
  - name: pain not recorded
    kind: silent
    facts: {pain.back.days: 20, cancer.any: true, pain.night: true}
    expect: excluded
  - name: hospice
    kind: suppressed
    facts: {pain.back.current: true, pain.back.days: 20, cancer.any: true, pain.night: true,
      care.palliative: hospice}
    expect: suppressed
    by: S1
"""

QUIET = """\
id: quiet
version: 1.0.0
title: Imaging may not help
topic: QUIET
status: approved
owner: clinical-content
review_by: 2027-06-30
released: 2026-11-25
pathology: none
region: back
urgency: info
act_within: routine
module: standard
hooks: [patient-view]
purpose: Speaks when no other rule does.
population:
  - {says: Back pain is current, cel: pain.back.current}
when: {says: No other rule fires, cel: "!fired.any"}
card:
  info: {summary: Imaging may not help, lead: Advice., consider: []}
evidence: [E-ONE]
"""

QUIET_TESTS = """\
now: 2026-11-25
cases:
  - {name: alone, kind: fires, facts: {pain.back.current: true, fired.any: false}, expect: fired}
  - {name: another fires, kind: silent, facts: {pain.back.current: true, fired.any: true}, expect: not-fired}
  - {name: not told, kind: cannot-tell, facts: {pain.back.current: true}, expect: not-enough-data}
  - {name: no pain, kind: silent, facts: {pain.back.current: false, fired.any: false}, expect: excluded}
  - {name: pain not recorded, kind: silent, facts: {fired.any: false}, expect: excluded}
"""

CORD = """\
id: cord
version: 2.0.0
title: Possible cord compression
topic: CORD
status: approved
owner: clinical-content
review_by: 2027-06-30
released: 2026-11-25
pathology: cord compression
region: back
urgency: critical
act_within: now
module: critical
hooks: [patient-view]
purpose: Finds cord compression.
population:
  - {says: Back pain is current, cel: pain.back.current}
when:
  all:
    - {says: Cancer now or before, cel: cancer.any}
    - at_least: 2
      of:
        - {says: Night pain, cel: pain.night}
        - {says: CRP over 100, cel: labs.crp.value > 100.0}
        - {says: MRI within a week, cel: "imaging.studies.exists(s, s.modality == 'mri' && s.days <= 7)"}
    - none:
        - {says: Hospice care, cel: care.palliative == 'hospice'}
supersedes: [cancer-back]
suppression: [S6, S9]
card:
  critical: {summary: Possible cord compression, lead: Now., consider: ["Call {contact:mscc}"]}
  warning: {summary: Possible cord compression, lead: Palliative care., consider: ["Talk with the patient"]}
  info: {summary: Possible cord compression, lead: End of life., consider: ["Talk with the patient"]}
evidence: [E-ONE]
"""

CORD_TESTS = """\
now: 2026-11-25
cases:
  - name: two of three
    kind: fires
    facts: {pain.back.current: true, cancer.any: true, pain.night: true, labs.crp.value: 101.0}
    expect: fired
  - name: one of three
    kind: silent
    facts: {pain.back.current: true, cancer.any: true, pain.night: true, labs.crp.value: 100.0}
    expect: not-fired
  - name: one and one unknown
    kind: cannot-tell
    facts: {pain.back.current: true, cancer.any: true, pain.night: true}
    expect: not-enough-data
"""

FILES = {
    "VERSION": "2026.11.0\n",
    "facts.yaml": FACTS,
    "evidence.yaml": EVIDENCE,
    "orders.yaml": ORDERS,
    "units.yaml": UNITS,
    "codes/sets.csv": SETS,
    "codes/systems.csv": SYSTEMS,
    "codes/labs.csv": CODES,
    "codes/snomed-extension.csv": EXTENSION,
    "catalogue/cancer-back/rule.yaml": CANCER,
    "catalogue/cancer-back/tests.yaml": CANCER_TESTS,
    "catalogue/cord/rule.yaml": CORD,
    "catalogue/cord/tests.yaml": CORD_TESTS,
    "catalogue/quiet/rule.yaml": QUIET,
    "catalogue/quiet/tests.yaml": QUIET_TESTS,
}
RULE = "catalogue/cancer-back/rule.yaml"
TESTS = "catalogue/cancer-back/tests.yaml"


def write(root: Path, *edits: tuple[str, str, str]) -> Path:
    """Write the bundle to `root` with edits (file, old, new); an old text of "" replaces the whole file."""
    files = dict(FILES)
    for name, old, new in edits:
        assert old in files[name], f"{name} has no {old!r}"
        files[name] = files[name].replace(old, new) if old else new
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def bundle(root: Path, *edits: tuple[str, str, str], overlay: Overlay | None = None) -> Bundle:
    return load(write(root, *edits), overlay=overlay)


@cache
def bundled() -> Bundle:
    """The bundled rules, loaded once for all tests."""
    return load()


def errors(root: Path, *edits: tuple[str, str, str], overlay: Overlay | None = None) -> list[str]:
    """What lint says, warnings left out."""
    found = check(write(root, *edits), overlay=overlay)
    return [str(problem) for problem in found if problem.severity == "error"]
