"""Quantities against arithmetic in fractions, and against what the Kubernetes API server writes back."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.quantity import (
    LARGEST,
    canonical,
    format_cpu,
    format_memory,
    parse_cpu,
    parse_memory,
    parse_quantity,
    round_up,
)

UNITS = {
    **{suffix: Fraction(1024) ** power for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)},
    **{
        suffix: Fraction(10) ** (3 * power)
        for power, suffix in enumerate(("n", "u", "m", "", "k", "M", "G", "T", "P", "E"), start=-3)
    },
}
numbers = st.builds(
    lambda whole, fraction: whole if not fraction else f"{whole}.{fraction}",
    st.integers(0, 10**30).map(str),
    st.text("0123456789", max_size=12),
)
quantities = st.tuples(st.sampled_from(("", "+", "-")), numbers, st.sampled_from(sorted(UNITS)))
exponents = st.tuples(numbers, st.sampled_from("eE"), st.integers(-20, 20))


@given(quantities)
def test_a_quantity_is_its_number_times_its_unit(parts: tuple[str, str, str]) -> None:
    sign, number, unit = parts
    assert Fraction(parse_quantity(sign + number + unit)) == Fraction(sign + number) * UNITS[unit]


@given(exponents)
def test_an_exponent_is_a_power_of_ten(parts: tuple[str, str, int]) -> None:
    number, letter, power = parts
    assert Fraction(parse_quantity(f"{number}{letter}{power}")) == Fraction(number) * Fraction(10) ** power


@given(st.text(max_size=12))
def test_what_kubernetes_refuses_is_refused(text: str) -> None:
    try:
        value = parse_quantity(text)
    except ValueError:
        return
    assert text.isascii()
    assert text == text.strip()
    assert value.is_finite()


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "1 Gi",
        " 1",
        "1\n",
        "Gi",
        "1gi",
        "1KI",
        "0x10",
        "1,5",
        "--1",
        "١",
        "1e",
        "inf",
        "nan",
        "1m1",
        "{{ .Values.cpu }}",
        True,
    ],
)
def test_no_quantities(text: str) -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        parse_quantity(text)


@given(quantities)
def test_canonical_is_canonical_and_says_the_same(parts: tuple[str, str, str]) -> None:
    text = "".join(parts)
    once = canonical(text)
    assert canonical(once) == once
    before, after = Fraction(parse_quantity(text)), Fraction(parse_quantity(once))
    step = 1 if parts[2].endswith("i") and abs(before) >= 1024 else Fraction(1, 10**9)
    assert abs(before) <= abs(after) < abs(before) + step


@given(exponents)
def test_canonical_keeps_exponents(parts: tuple[str, str, int]) -> None:
    once = canonical("".join(map(str, parts)))
    assert canonical(once) == once


@pytest.mark.parametrize(
    ("written", "read_back"),
    [
        ("1000m", "1"),
        ("0.5", "500m"),
        ("1500m", "1500m"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("1000Ki", "1000Ki"),
        ("0.5Ki", "512"),
        ("0.9765625Ki", "1k"),
        ("0.1Ki", "102400m"),
        ("1.0001Ki", "1025"),
        ("1000", "1k"),
        ("1000k", "1M"),
        ("100000Mi", "100000Mi"),
        ("1e3", "1e3"),
        ("1E3", "1e3"),
        ("12e2", "1200"),
        ("0.1n", "1n"),
        ("-0.1n", "-1n"),
        ("0Mi", "0"),
        ("-0", "0"),
        ("+5", "5"),
        (".5", "500m"),
        ("5.", "5"),
    ],
)
def test_canonical_as_the_api_server_writes_it(written: str, read_back: str) -> None:
    assert canonical(written) == read_back


@given(st.integers(0, 10**9))
def test_cpu_round_trip(millicores: int) -> None:
    text = format_cpu(millicores)
    assert parse_cpu(text) == millicores
    assert canonical(text) == text


@given(
    st.integers(0, 2**60)
    | st.integers(0, 2**30).map(lambda n: n * 1024)
    | st.integers(0, 10**6).map(lambda n: n * 1000)
)
def test_memory_round_trip(size: int) -> None:
    text = format_memory(size)
    assert parse_memory(text) == size
    assert canonical(text) == text


@given(quantities)
def test_reading_sizes_never_gives_less(parts: tuple[str, str, str]) -> None:
    text = "".join(parts)
    exact = Fraction(parse_quantity(text))
    assert min(exact, LARGEST) <= parse_memory(text) <= LARGEST
    assert min(exact * 1000, LARGEST) <= parse_cpu(text) <= LARGEST
    assert parse_memory(text) < exact + 1 or parse_memory(text) == LARGEST


@given(st.integers(0, 10**15), st.integers(1, 10**9))
def test_rounding_up(value: int, step: int) -> None:
    raised = round_up(value, step)
    assert raised % step == 0
    assert value <= raised < value + step
