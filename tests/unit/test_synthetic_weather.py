"""What lies between a face and its picture: the shutter's smear, rain, and the noise of a sensor."""

import numpy as np
import pytest

from pipeline.synthetic.grain import add_grain
from pipeline.synthetic.weather import draw_rain, smear


def edge() -> np.ndarray:
    """A picture that is black on the left and white on the right."""
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, 30:] = 255
    return image


def test_a_still_head_is_not_smeared() -> None:
    """A way below half a pixel changes nothing."""
    image = edge()
    smear(image, 0, 0, 60, 40, 0.2, 0.2)
    assert np.array_equal(image, edge())


def test_a_smear_softens_edges_across_the_way_and_none_along_it() -> None:
    """Moving sideways turns the step into a ramp as wide as the way; moving up and down leaves it."""
    image = edge()
    smear(image, 0, 0, 60, 40, 8.0, 0.0)
    ramp = np.flatnonzero((image[20, :, 0] > 0) & (image[20, :, 0] < 255))
    assert 6 <= len(ramp) <= 10
    still = edge()
    smear(still, 0, 0, 60, 40, 0.0, 8.0)
    assert np.array_equal(still[:, :, 0], edge()[:, :, 0])


def test_a_smear_stays_inside_its_rectangle() -> None:
    """Outside the rectangle, and for one that lies outside the picture, nothing changes."""
    image = edge()
    smear(image, 20, 10, 40, 30, 8.0, 3.0)
    assert np.array_equal(image[:10], edge()[:10])
    assert np.array_equal(image[30:], edge()[30:])
    assert not np.array_equal(image, edge())
    smear(image, 70, 50, 90, 60, 8.0, 3.0)


@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_rain_brightens_some_of_a_dark_picture(strength: float) -> None:
    """Rain is seen, covers little, and is the same when drawn from the same stream."""
    image, again = np.full((360, 640, 3), 30, np.uint8), np.full((360, 640, 3), 30, np.uint8)
    draw_rain(image, np.random.default_rng(1), strength, 0.8)
    draw_rain(again, np.random.default_rng(1), strength, 0.8)
    wet = (image[:, :, 0] > 30).mean()
    assert 0.0 < wet < 0.1
    assert np.array_equal(image, again)


def test_noise_grows_with_its_strength_and_keeps_the_mean() -> None:
    """Twice the strength is about twice the deviation; a picture gets neither lighter nor darker."""
    deviations = []
    for strength in (1.0, 2.0):
        image = np.full((200, 200, 3), 128, np.uint8)
        add_grain(image, 17, strength)
        deviations.append(image.std())
        assert abs(image.mean() - 128.0) < 0.1
    assert 1.4 < deviations[0] < 1.9
    assert 1.8 < deviations[1] / deviations[0] < 2.2
