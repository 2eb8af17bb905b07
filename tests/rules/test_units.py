"""Units: every spelling in the table, what is refused and why, and the factors against UCUM."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.engine.errors import BundleError
from rules.engine.units import NO_UNIT, OUT_OF_RANGE, UNKNOWN_UNIT, Units

TABLE = Path(__file__).parents[2] / "rules" / "units.yaml"
UNITS = Units.load(TABLE)
ANALYTES = sorted(UNITS.analytes)


@pytest.mark.parametrize(
    ("analyte", "value", "unit", "expected"),
    [
        ("crp", 88, "mg/L", 88),
        ("crp", 8.8, "mg/dl", 88),
        ("crp", 88, "MG/L", 88),
        ("crp", 88, " mg / L ", 88),
        ("crp", 500, "nmol/L", 52.5),
        ("crp", 88, "ug/mL", 88),
        ("crp", 88, "µg/mL", 88),
        ("crp", 88, "μg/mL", 88),
        ("crp", 88, "mcg/mL", 88),
        ("crp", 88, "mg/L{CRP}", 88),
        ("esr", 50, "mm/hr", 50),
        ("esr", 50, "mm/h", 50),
        ("esr", 50, "mm/1h", 50),
        ("esr", 50, "mm/(1.h)", 50),
        ("esr", 50, "mm", 50),
        ("plasma-viscosity", 1.8, "mPa.s", 1.8),
        ("plasma-viscosity", 1.8, "cP", 1.8),
        ("haemoglobin", 10.9, "g/dL", 109),
        ("haemoglobin", 8.0, "mmol/L", 128.912),
        ("haemoglobin", 10.9, "G/DL", 109),
        ("calcium-total", 10.5, "mg/dL", 2.61975),
        ("calcium-total", 5.2, "mEq/L", 2.6),
        ("calcium-corrected", 2.7, "mmol/L", 2.7),
        ("calcium-ionised", 5.2, "mg/dL", 1.2974),
        ("albumin", 4.0, "g/dL", 40),
        ("albumin", 600, "umol/L", 39.84),
        ("alp", 130, "IU/L", 130),
        ("alp", 130, "[iU]/L", 130),
        ("alp", 2.5, "µkat/L", 150),
        ("ldh", 250, "u/l", 250),
        ("psa", 4.2, "ug/L", 4.2),
        ("psa", 4.2, "NG/ML", 4.2),
        ("wbc", 7.5, "10*9/L", 7.5),
        ("wbc", 7.5, "x10E9/L", 7.5),
        ("wbc", 7.5, "×10^9/L", 7.5),
        ("wbc", 7.5, "10⁹/L", 7.5),
        ("wbc", 7500, "/uL", 7.5),
        ("wbc", 7500, "{cells}/uL", 7.5),
        ("wbc", 7.5, "K/uL", 7.5),
        ("platelets", 450, "10*3/uL", 450),
        ("platelets", 450, "Gpt/L", 450),
        ("platelets", 450, "Tsd/µl", 450),
        ("creatinine", 1.2, "mg/dL", 106.08),
        ("creatinine", 106, "µmol/L", 106),
        ("m-protein", 1.5, "g/dL", 15),
        ("free-light-chain-ratio", 0.2, None, 0.2),
        ("free-light-chain-ratio", 0.2, "{ratio}", 0.2),
        ("free-light-chain-kappa", 2.5, "mg/dL", 25),
        ("temperature", 100.4, "[degF]", 38.0),
        ("temperature", 100.4, "°F", 38.0),
        ("temperature", 38.0, "Cel", 38.0),
        ("temperature", 38.0, "°C", 38.0),
        ("weight", 150, "lb", 68.0388555),
        ("weight", 150, "[lb_av]", 68.0388555),
        ("weight", 68000, "g", 68),
        ("pain-score", 7, "{score}", 7),
        ("pain-score", 7, "1", 7),
        ("pain-score", 7, "", 7),
        ("pain-score", 7, None, 7),
        ("post-void-residual", 0.25, "L", 250),
    ],
)
def test_spellings_of_real_systems_are_read(
    analyte: str, value: float, unit: str | None, expected: float
) -> None:
    assert UNITS.convert(analyte, value, unit) == pytest.approx(expected, abs=1e-9)
    assert UNITS.why(analyte, value, unit) == ""


def test_a_threshold_in_another_unit_is_met_exactly() -> None:
    assert UNITS.convert("temperature", 100.4, "[degF]") == 38.0
    assert UNITS.convert("haemoglobin", 13.0, "g/dL") == 130.0
    assert UNITS.convert("m-protein", 1.1, "g/dL") == 11.0


@pytest.mark.parametrize(
    ("analyte", "value", "unit", "reason"),
    [
        ("crp", 88, None, NO_UNIT),
        ("crp", 88, "  ", NO_UNIT),
        ("crp", 88, "mg", UNKNOWN_UNIT),
        ("crp", 88, "furlongs", UNKNOWN_UNIT),
        ("crp", 88, "{score}", UNKNOWN_UNIT),
        ("crp", 88, "1", UNKNOWN_UNIT),
        ("crp", 1001, "mg/L", OUT_OF_RANGE),
        ("esr", 201, "mm/h", OUT_OF_RANGE),
        ("esr", 50, "mm/2h", UNKNOWN_UNIT),
        ("haemoglobin", 13.5, "g/L", OUT_OF_RANGE),
        ("haemoglobin", 135, "g/dL", OUT_OF_RANGE),
        ("calcium-total", 10.5, "mmol/L", OUT_OF_RANGE),
        ("calcium-total", 5.01, "mmol/L", OUT_OF_RANGE),
        ("calcium-total", 2.6, "mg/dL", OUT_OF_RANGE),
        ("calcium-total", 4.9, "mg/dL", OUT_OF_RANGE),
        ("temperature", 98.6, "Cel", OUT_OF_RANGE),
        ("temperature", 37.0, "[degF]", OUT_OF_RANGE),
        ("temperature", 37.0, None, NO_UNIT),
        ("weight", 19.9, "kg", OUT_OF_RANGE),
        ("weight", 70, None, NO_UNIT),
        ("wbc", 7.5, "/uL", OUT_OF_RANGE),
        ("wbc", 7500, "10*9/L", OUT_OF_RANGE),
        ("platelets", 250, "/uL", OUT_OF_RANGE),
        ("plasma-viscosity", 1.8, "MPa.s", UNKNOWN_UNIT),
        ("psa", 4.2, "nmol/L", UNKNOWN_UNIT),
        ("free-light-chain-ratio", 25, "mg/L", UNKNOWN_UNIT),
        ("pain-score", 11, "{score}", OUT_OF_RANGE),
        ("crp", math.nan, "mg/L", OUT_OF_RANGE),
        ("crp", math.inf, "mg/L", OUT_OF_RANGE),
    ],
)
def test_what_cannot_be_read_is_unknown_with_its_reason(
    analyte: str, value: float, unit: str | None, reason: str
) -> None:
    assert UNITS.convert(analyte, value, unit) is None
    assert UNITS.why(analyte, value, unit) == reason


@pytest.mark.parametrize("analyte", ANALYTES)
def test_the_ends_of_the_plausible_range_are_inside(analyte: str) -> None:
    low, high = UNITS.analytes[analyte].plausible
    unit = UNITS.canonical(analyte)
    assert UNITS.convert(analyte, low, unit) == low
    assert UNITS.convert(analyte, high, unit) == high
    assert UNITS.convert(analyte, math.nextafter(high, math.inf) + 1e-6, unit) is None
    assert UNITS.convert(analyte, low - 1e-6, unit) is None


@pytest.mark.parametrize("analyte", ANALYTES)
def test_every_spelling_of_the_table_means_its_unit(analyte: str) -> None:
    one = UNITS.analytes[analyte]
    scales = one.scales()
    low, high = one.plausible
    for spelling, unit in [*((unit, unit) for unit in scales), *one.spellings.items()]:
        value = (low + high) / 2 / scales[unit].factor + scales[unit].subtract
        assert UNITS.convert(analyte, value, spelling) == pytest.approx((low + high) / 2), spelling


@given(
    st.sampled_from(ANALYTES),
    st.floats(allow_nan=True, allow_infinity=True),
    st.none() | st.text(max_size=80),
)
def test_any_text_is_either_read_or_refused_with_a_reason(
    analyte: str, value: float, unit: str | None
) -> None:
    converted = UNITS.convert(analyte, value, unit)
    low, high = UNITS.analytes[analyte].plausible
    if converted is None:
        assert UNITS.why(analyte, value, unit) in {NO_UNIT, UNKNOWN_UNIT, OUT_OF_RANGE}
    else:
        assert low <= converted <= high
        assert UNITS.why(analyte, value, unit) == ""


@given(st.sampled_from(ANALYTES), st.data())
def test_blanks_case_and_micro_signs_do_not_matter_where_they_carry_no_meaning(
    analyte: str, data: st.DataObject
) -> None:
    one = UNITS.analytes[analyte]
    spelling = data.draw(st.sampled_from([*one.scales(), *one.spellings]))
    value = sum(one.plausible) / 2
    changed = f" {spelling} ".replace("u", data.draw(st.sampled_from(["u", "µ", "μ"])))
    if one.case == "folded":
        changed = data.draw(st.sampled_from([changed, changed.upper(), changed.lower()]))
    assert UNITS.convert(analyte, value, changed) == UNITS.convert(analyte, value, spelling)


def test_memory_of_spellings_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rules.engine.units._MEMO_LIMIT", 10)
    units = Units.load(TABLE)
    for number in range(100):
        units.convert("crp", 1, f"unit{number}")
        assert len(units._memo) <= 10
    units.convert("crp", 1, "x" * 65)
    assert ("crp", "x" * 65) not in units._memo


def test_an_unknown_analyte_is_an_error_of_the_caller() -> None:
    with pytest.raises(KeyError):
        UNITS.convert("kryptonite", 1, "mg/L")
    with pytest.raises(KeyError):
        UNITS.canonical("kryptonite")


def test_an_analyte_is_found_by_code_before_set() -> None:
    loinc = "http://loinc.org"
    assert UNITS.analyte(loinc, "1988-5", {"lab-crp"}) == "crp"
    assert UNITS.analyte("urn:lab", "CRP", ["lab-crp"]) == "crp"
    assert UNITS.analyte(loinc, "36916-5", {"lab-free-light-chains"}) == "free-light-chain-kappa"
    assert UNITS.analyte(loinc, "24351-9", {"lab-m-protein-spep"}) is None
    assert UNITS.analyte(loinc, "2345-7", ()) is None
    assert UNITS.analyte(loinc, "18184-2", {"lab-esr-excluded"}) is None


# -- site spellings and faulty tables -----------------------------------------------------------------------


def test_a_site_may_say_what_its_spelling_means() -> None:
    units = Units.load(TABLE, spellings={"crp": {"Milligramm je Liter": "mg/L"}, "wbc": {"Zellen": "K/uL"}})
    assert units.convert("crp", 88, "milligramm je liter") == 88
    assert units.convert("wbc", 7.5, "Zellen") == 7.5
    assert UNITS.convert("crp", 88, "milligramm je liter") is None


def test_a_site_cannot_change_what_a_unit_is_worth() -> None:
    spellings = {"crp": {"mg/dL": "mg/L", "strange": "furlong"}, "no-such": {"a": "b"}}
    with pytest.raises(BundleError) as caught:
        Units.load(TABLE, spellings=spellings)
    assert [problem.code for problem in caught.value.problems] == ["U004", "U005", "U006"]


GOOD: dict[str, Any] = {
    "says": "CRP",
    "canonical": "mg/L",
    "sets": "[lab-crp]",
    "plausible": "[0, 1000]",
    "units": "{mg/L: 1}",
}


def table(tmp_path: Path, **changes: str) -> Path:
    lines = [f"    {key}: {value}" for key, value in {**GOOD, **changes}.items()]
    path = tmp_path / "units.yaml"
    path.write_text("\n".join(["schema_version: 1", "analytes:", "  crp:", *lines]), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"units": "{mg/dL: 10}"}, "units.yaml:3: U002: crp: mg/L must have the factor 1"),
        ({"plausible": "[9, 1]"}, "units.yaml:3: U003: crp: plausible must be [low, high]"),
        ({"spellings": "{a: mg/dL}"}, "units.yaml:9: U004: crp: no unit 'mg/dL' in the table"),
        (
            {"units": "{mg/L: 1, mg/dL: 10}", "spellings": "{MG/DL: mg/L}"},
            "U005: crp: 'MG/DL' has two meanings",
        ),
        ({"codes": "{'s|c': other}"}, "units.yaml:9: U006: crp: unknown analyte 'other'"),
        ({"units": "{mg/L: -1}"}, "units.yaml:3: U001: crp: Expected `float` > 0"),
        ({"colour": "red"}, "units.yaml:3: U001: crp: Object contains unknown field `colour`"),
        ({"case": "none"}, "units.yaml:3: U001: crp: Invalid enum value 'none'"),
    ],
)
def test_a_fault_of_the_table_is_reported_with_its_line(
    tmp_path: Path, changes: dict[str, str], expected: str
) -> None:
    with pytest.raises(BundleError) as caught:
        Units.load(table(tmp_path, **changes))
    [problem] = caught.value.problems
    assert expected in str(problem)


@pytest.mark.parametrize(
    ("text", "code"),
    [("analytes: {}", "U001"), ("[]", "U001"), ("schema_version: 1\nanalytes: 3", "U001"), ("{", "R001")],
)
def test_a_file_that_is_no_unit_table_is_refused(tmp_path: Path, text: str, code: str) -> None:
    path = tmp_path / "units.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BundleError) as caught:
        Units.load(path)
    assert {problem.code for problem in caught.value.problems} == {code}


# -- the factors --------------------------------------------------------------------------------------------


def test_pure_ucum_factors_agree_with_ucum() -> None:
    try:
        ucumvert = importlib.import_module("ucumvert")
    except ImportError:
        pytest.skip("ucumvert is not installed: factors are not checked against UCUM")
    registry = ucumvert.PintUcumRegistry()
    checked = 0
    for name, one in UNITS.analytes.items():
        target = registry.from_ucum(one.canonical)
        scales = one.scales()
        for unit in one.units:
            if unit.startswith("{") or one.canonical.startswith("{"):
                continue
            source = registry.from_ucum(unit).units
            for value in (50.0, 101.0):
                expected = registry.Quantity(value, source).to(target.units).magnitude / target.magnitude
                expected *= registry.from_ucum(unit).magnitude
                scale = scales[unit]
                assert (value - scale.subtract) * scale.factor == pytest.approx(expected), (name, unit)
            checked += 1
    assert checked > 60


@pytest.mark.parametrize(
    ("analyte", "unit", "expected"),
    [
        ("crp", "nmol/L", 1 / 9.524),  # LOINC 76485-2, as the clinical reference states it
        ("calcium-total", "mg/dL", 10 / 40.078),
        ("calcium-total", "meq/L", 1 / 2),
        ("creatinine", "mg/dL", 10_000 / 113.12),
        ("haemoglobin", "mmol/L", 16.114),
        ("albumin", "umol/L", 66.4 / 1000),
    ],
)
def test_molar_factors_follow_from_the_molar_mass(analyte: str, unit: str, expected: float) -> None:
    assert UNITS.analytes[analyte].scales()[unit].factor == pytest.approx(expected, rel=2e-3)
