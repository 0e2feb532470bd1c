"""Linear probes: they read what is there, on other people, and nothing where nothing is."""

import numpy as np
import pytest

from loadtest.probes import PARTS, findings, pictures, r_squared
from pipeline.catalog.difficulties import STREET
from pipeline.synthetic.identities import Shape
from pipeline.synthetic.seeds import Population, group


def test_r_squared_is_near_one_for_a_linear_number_and_near_none_for_another() -> None:
    """On rows that the regression did not see; a number that never varies has none."""
    rng = np.random.default_rng(1)
    templates = rng.normal(size=(900, 8)).astype(np.float32)
    values = np.stack([templates @ rng.normal(size=8) + 3.0, rng.normal(size=900), np.full(900, 0.1)], axis=1)
    linear, noise, constant = r_squared(templates, values, np.arange(900) >= 600)
    assert linear > 0.99
    assert abs(noise) < 0.1
    assert np.isnan(constant)


def test_parts_of_the_face_are_fields_of_a_shape() -> None:
    """No number is probed twice."""
    names = [name for part in PARTS.values() for name in part]
    assert set(names) <= set(Shape._fields)
    assert len(names) == len(set(names))


def test_templates_that_are_the_tone_give_the_tone_away_and_no_glasses() -> None:
    """Two pictures of each person; the probe is tested on people whom it did not see."""
    people = group(Population.VALIDATION, 77, 12)
    crops, rows = pictures(people, STREET, 0, lambda: None)
    assert crops.shape == (24, 112, 112, 3)
    assert [row["skin tone"] for row in rows[::2]] == [row["skin tone"] for row in rows[1::2]]
    assert set(rows[0]) == set(rows[1])
    many = [dict(rows[i % 24], **{"skin tone": float(i % 10)}) for i in range(400)]
    rng = np.random.default_rng(0)
    for row in many:
        row["look.glasses"] = float(rng.random() < 0.5)
    templates = np.array([[row["skin tone"], 1.0] for row in many], np.float32)
    found = findings(templates, many)
    assert found["skin tone"] == pytest.approx(1.0, abs=0.01)
    assert found["worn or done today: glasses"] < 0.1
    assert set(PARTS) < set(found)


def test_numbers_of_one_person_differ_between_days_only_in_what_is_worn() -> None:
    """What identifies is the same."""
    _, (first, second) = pictures(group(Population.VALIDATION, 78, 1), STREET, 0, lambda: None)
    changed = {name for name in first if first[name] != second[name]}
    assert changed
    assert all(name.startswith("look.") for name in changed)
