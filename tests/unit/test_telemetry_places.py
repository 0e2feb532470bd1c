"""The place label: cameras while there are few, districts when there are many."""

from pipeline.telemetry.places import Places, district


def test_a_district_is_the_part_before_the_first_slash() -> None:
    """An id without a slash is its own district."""
    assert [district(camera) for camera in ("north/7", "north/gate/7", "lone")] == ["north", "north", "lone"]


def test_a_known_number_of_cameras_within_the_limit_is_labelled_by_camera_for_good() -> None:
    """The choice is made up front, so a stray id does not turn it."""
    places = Places(2, cameras=2)
    assert [places.label(camera) for camera in ("a/1", "a/2", "stray/3")] == ["a/1", "a/2", "stray/3"]


def test_a_known_number_of_cameras_above_the_limit_is_labelled_by_district_at_once() -> None:
    """No series of a camera is ever made."""
    places = Places(2, cameras=3)
    assert places.by_district
    assert places.label("a/1") == "a"


def test_the_first_camera_above_the_limit_turns_all_to_districts() -> None:
    """Cameras seen again do not count twice."""
    places = Places(2)
    assert [places.label(camera) for camera in ("a/1", "a/2", "a/1", "b/3", "a/1")] == ["a/1", "a/2", "a/1", "b", "a"]


def test_a_limit_of_zero_never_names_a_camera() -> None:
    """Zero is how an operator switches labels by camera off."""
    assert Places(0).label("a/1") == "a"
