"""Words for people: outcomes of frames."""

from pipeline.runtime.words import outcomes_told, unusual_told


def test_usual_outcomes_are_told_always_and_others_if_there_are_any() -> None:
    """A reader looks for processed and shed, and has to see what should not have been."""
    assert outcomes_told({}) == "0 processed, 0 shed"
    assert outcomes_told({"dead_lettered": 3, "processed": 1200}) == "1,200 processed, 0 shed, 3 dead-lettered"
    assert unusual_told({"processed": 5, "shed": 2}) == ""
    assert unusual_told({"processed": 5, "expired": 1, "dead_lettered": 3}) == "3 dead-lettered, 1 expired"
