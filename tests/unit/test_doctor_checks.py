"""The doctor's judgements."""

import pytest

from pipeline.runtime import doctor_checks as checks
from pipeline.runtime.doctor_checks import GIB, Finding, Status


@pytest.mark.parametrize(
    ("finding", "status"),
    [
        (checks.judge_python((3, 11, 0)), Status.OK),
        (checks.judge_python((3, 12, 9)), Status.OK),
        (checks.judge_python((3, 13, 0)), Status.FAIL),
        (checks.judge_python((3, 10, 14)), Status.FAIL),
        (checks.judge_cores(2, 2, {}), Status.OK),
        (checks.judge_cores(1, 1, {}), Status.WARN),
        (checks.judge_cores(4, 5, {}), Status.WARN),
        (checks.judge_memory(4 * GIB, 8 * GIB), Status.OK),
        (checks.judge_memory(3 * GIB, 8 * GIB), Status.WARN),
        (checks.judge_memory(1 * GIB, 8 * GIB), Status.FAIL),
        (checks.judge_disk("/tmp", 5 * GIB), Status.OK),
        (checks.judge_disk("/tmp", 2 * GIB), Status.WARN),
        (checks.judge_disk("/tmp", GIB // 2), Status.FAIL),
        (checks.judge_shared_memory(GIB), Status.OK),
        (checks.judge_shared_memory(64 * 2**20), Status.WARN),
        (checks.judge_shared_memory(None), Status.WARN),
        (checks.judge_clock(0.0001, True), Status.OK),
        (checks.judge_clock(-0.0001, None), Status.OK),
        (checks.judge_clock(-0.5, True), Status.WARN),
        (checks.judge_clock(0.0, False), Status.WARN),
        (checks.judge_faiss(["faiss-cpu", "numpy"]), Status.OK),
        (checks.judge_faiss(["numpy"]), Status.FAIL),
        (checks.judge_faiss(["faiss-gpu", "faiss-cpu"]), Status.FAIL),
        (checks.judge_gpu("auto", [], False, False), Status.OK),
        (checks.judge_gpu("auto", ["H200"], True, True), Status.OK),
        (checks.judge_gpu("auto", [], True, False), Status.WARN),
        (checks.judge_gpu("cuda:0", [], False, False), Status.FAIL),
        (checks.judge_socket_folder("/tmp", True), Status.OK),
        (checks.judge_socket_folder("/tmp", False), Status.FAIL),
        (checks.judge_socket_folder("/home/" + "x" * 60, True), Status.FAIL),
    ],
)
def test_what_will_not_work_is_told_from_what_will(finding: Finding, status: Status) -> None:
    """And whatever is not right comes with what to do."""
    assert finding.status is status
    assert finding.found
    assert finding.advice or status is Status.OK


def test_both_faiss_distributions_are_named_in_the_command_that_removes_them() -> None:
    """Removing one of two leaves a broken module behind, so both go."""
    advice = checks.judge_faiss(["faiss-cpu", "faiss-gpu"]).advice
    assert "pip uninstall faiss-cpu faiss-gpu" in advice


def test_a_socket_folder_is_judged_by_the_longest_path_below_it() -> None:
    """The longest folder that passes makes a path of exactly the limit."""
    folder = "/" + "x" * (checks.SOCKET_PATH_LIMIT - len(checks.RAY_SOCKET) - 1)
    assert checks.judge_socket_folder(folder, True).status is Status.OK
    assert checks.judge_socket_folder(folder + "x", True).status is Status.FAIL
