"""Polluted files: every row is read right or refused with its line; what is passed over is reported."""

from __future__ import annotations

from functools import reduce

import delimited_pollution as wild
import pytest
from delimited_kit import Outcome, read
from hypothesis import given, settings
from hypothesis import strategies as st


def outcome(file: wild.Polluted, **spec: object) -> Outcome:
    return read(file.bytes(), encoding=file.declared_encoding, **spec)


def check(file: wild.Polluted) -> Outcome:
    """What was read is what the lines of the file say, and no line is unaccounted for."""
    found = outcome(file)
    assert found.faults == file.faults
    assert found.rows == file.rows
    assert found.lines == file.of("row")
    assert list(found.schema) == list(wild.NAMES)
    assert found.reported == set(file.of("passed"))
    return found


@pytest.mark.parametrize("pollution", wild.SINGLE.values(), ids=wild.SINGLE)
def test_one_pollution(pollution):
    check(pollution(wild.sound(40)))


@settings(max_examples=150)
@given(
    st.integers(25, 60),
    st.sets(st.sampled_from(wild.INSIDE)),
    st.none() | st.sampled_from(wild.WIDTH),
    st.sets(st.sampled_from(wild.BELOW), max_size=1),
    st.none() | st.sampled_from(wild.ABOVE),
    st.sets(st.sampled_from(sorted(wild.BYTES)), max_size=2),
)
def test_pollutions_together(rows, inside, width, below, above, in_bytes):
    order = [x for x in wild.INSIDE if x in inside]
    steps = [width, *order, *below, above, *(wild.BYTES[name] for name in sorted(in_bytes))]
    check(reduce(lambda file, step: step(file) if step else file, steps, wild.sound(rows)))
