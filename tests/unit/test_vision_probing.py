"""Probes: faces and passes with the truth of who they are."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.catalog.difficulties import STREET, STUDIO
from pipeline.records import Detections
from pipeline.synthetic.cohorts import cohorts_of_street
from pipeline.synthetic.seeds import Population, group
from pipeline.synthetic.street import Street, StreetSpec
from pipeline.testing.embedder import FakeEmbedder
from pipeline.vision.eyes import Eyes, load_eyes
from pipeline.vision.probing import probe_faces, probe_street, together


class Blind:
    """A detector that finds nothing."""

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """Return no face for each image."""
        none = Detections(np.empty((0, 4), np.float32), np.empty((0, 5, 2), np.float32), np.empty(0, np.float32))
        return [none for _ in images]


@pytest.fixture(scope="module")
def eyes() -> Eyes:
    """The shipped networks."""
    return load_eyes()


def test_the_same_person_and_number_give_the_same_probe(eyes: Eyes) -> None:
    """Whoever else is looked at in the same call; another number is another picture."""
    people = group(Population.VALIDATION, 40, 5)
    both = probe_faces([(person, 0) for person in people], STUDIO, 3, eyes.detector, eyes.embedder)
    alone = probe_faces([(people[3], 0), (people[3], 1)], STUDIO, 3, eyes.detector, eyes.embedder)
    assert both.passage.tolist() == [0, 1, 2, 3, 4]
    assert alone.passage.tolist() == [0, 1]
    np.testing.assert_allclose(alone.templates[0], both.templates[3], atol=1e-4)
    assert float(alone.templates[0] @ alone.templates[1]) < 0.9999
    assert alone.cohorts[0] == both.cohorts[3]


def test_a_face_that_is_not_found_has_its_pass_and_no_template(eyes: Eyes) -> None:
    """It is a failure to acquire, not a search that did not happen."""
    people = [(person, 0) for person in group(Population.VALIDATION, 41, 3)]
    probes = probe_faces(people, STREET, 3, Blind(), FakeEmbedder())
    assert (len(probes), len(probes.templates), len(probes.cohorts)) == (3, 0, 3)


def test_a_street_s_passes_are_those_of_its_truth(eyes: Eyes) -> None:
    """Listed within working distance, listed beyond it, and everybody else; each with the walker's cohorts."""
    spec = StreetSpec(
        seed=8, camera="probing/0", fps=1.0, density=40.0, listed=group(Population.WATCHLIST, 8, 20), listed_share=0.5
    )
    street = Street(spec)
    truth = street.passes(0, street.frames_per_loop - 1)
    found = probe_street(spec, 85, eyes.detector, eyes.embedder)
    mated = [each for each in truth if each.listed and each.within_working_distance]
    others = [each for each in truth if not each.listed]
    assert found.mated.people.tolist() == [each.identity for each in mated]
    assert found.non_mated.people.tolist() == [each.identity for each in others]
    assert found.beyond == sum(each.listed and not each.within_working_distance for each in truth)
    assert min(len(mated), len(others), found.frames) > 3
    labels = cohorts_of_street(spec)
    assert list(found.mated.cohorts) == [labels[int(each.pass_id.rsplit("/", 1)[1])] for each in mated]
    assert len(found.mated.templates) >= len(mated)
    assert set(found.mated.passage.tolist()) <= set(range(len(mated)))


def test_sets_of_probes_are_numbered_on(eyes: Eyes) -> None:
    """The second set's first pass follows the first set's last, found or not."""
    people = [(person, 0) for person in group(Population.VALIDATION, 42, 2)]
    seen = probe_faces(people, STUDIO, 3, eyes.detector, eyes.embedder)
    unseen = probe_faces(people, STUDIO, 3, Blind(), eyes.embedder)
    whole = together([unseen, seen])
    assert whole.passage.tolist() == [2, 3]
    assert whole.people.tolist() == [person for person, _ in people] * 2
    with pytest.raises(ValueError, match="no probes"):
        together([])
