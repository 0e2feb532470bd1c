"""The place label: cameras while there are few, districts when there are many."""

from pipeline.telemetry.places import DISTRICTS_WITHOUT_CAMERAS, Places


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


def test_cameras_without_a_district_share_a_place_above_the_limit() -> None:
    """Else each of a thousand ids without a slash would be exported, whatever the limit."""
    places = Places(2)
    labels = [places.label(camera) for camera in ("cam0", "cam1", "cam2", "cam3", "north/1")]
    assert labels == ["cam0", "cam1", "other", "other", "north"]


def test_districts_beyond_the_limit_share_a_place() -> None:
    """The first ones keep theirs; with the shared one that is all a process exports, however many there are."""
    places = Places(2, cameras=1000)
    labels = [places.label(f"d{number}/cam") for number in (0, 1, 2, 0, 3, 1)]
    assert labels == ["d0", "d1", "other", "d0", "other", "d1"]


def test_a_limit_of_zero_still_bounds_the_districts() -> None:
    """No label may grow with the city."""
    places = Places(0)
    assert len({places.label(f"d{number}/cam") for number in range(1000)}) == DISTRICTS_WITHOUT_CAMERAS + 1


def test_unknown_is_no_camera() -> None:
    """A single dead letter must not take the labels of all cameras away."""
    places = Places(2)
    assert [places.label(camera) for camera in ("unknown", "a/1", "a/2", "unknown")] == [
        "unknown",
        "a/1",
        "a/2",
        "unknown",
    ]
    places.label("a/3")
    assert places.label("unknown") == "unknown"
