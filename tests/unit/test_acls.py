"""Which ACLs the roles and the settings make, what goes beyond them, and what the options say."""

import sys

import pytest

from pipeline.catalog.roles import AUDITOR, CAMERA, CONSOLE, ENROLLER, ROLES, WORKER, Kind, Operation
from pipeline.catalog.topics import ALERTS, FRAMES, TOPICS, WATCHLIST
from pipeline.cli import main
from pipeline.errors import SettingsError
from pipeline.runtime import acls, topics
from pipeline.runtime.acls import beyond_roles, wanted_acls
from pipeline.runtime.composition import transactional_id
from pipeline.runtime.names import new_run_name
from pipeline.runtime.settings import Settings
from pipeline.runtime.settings_kafka import Acls
from pipeline.runtime.settings_sources import Option, resolve
from pipeline.streams.acls import Acl

DEFAULT = [acl for _, acl in wanted_acls(Settings())]
FIRST = Acl("User:camera", Kind.TOPIC, FRAMES, Operation.WRITE)


def allowed(kind: Kind, operation: Operation, **sections: object) -> list[Acl]:
    """What the worker may do on resources of a kind under these settings."""
    acls = [acl for role, acl in wanted_acls(Settings.model_validate(sections)) if role == WORKER.name]
    return [acl for acl in acls if acl.kind is kind and acl.operation is operation]


def test_every_role_has_principals_in_the_settings() -> None:
    """One each by default, of its own name."""
    assert [role.name for role in ROLES] == [name for name in Acls.model_fields if name != "prefix"]
    assert {role.name: getattr(Acls(), role.name) for role in ROLES} == {
        role.name: (f"User:{role.name}",) for role in ROLES
    }


def test_a_camera_has_one_right() -> None:
    """Its credentials lie about in the street."""
    assert [acl for acl in DEFAULT if acl.principal == "User:camera"] == [FIRST]


@pytest.mark.parametrize(("topic", "readers"), [(FRAMES, {WORKER}), (WATCHLIST, {WORKER, ENROLLER})])
def test_who_reads_pixels_and_templates(topic: str, readers: set[object]) -> None:
    """Nobody who only looks at what came of them."""
    reading = {role.name for role in ROLES for right in role.rights if (right.name, Operation.READ in right.operations)
               == (topic, True)}  # fmt: skip
    assert reading == {role.name for role in (CAMERA, WORKER, ENROLLER, CONSOLE, AUDITOR) if role in readers}


def test_topics_of_the_roles_are_those_of_the_catalogue() -> None:
    """A right on a topic that is not there would protect nothing."""
    named = {right.name for role in ROLES for right in role.rights if right.kind is Kind.TOPIC}
    assert named == {topic.name for topic in TOPICS}


def test_a_worker_has_the_group_and_the_transactional_ids_of_its_run() -> None:
    """Those that a run really uses: of a name that was given, or of one that is made."""
    (group,) = allowed(Kind.GROUP, Operation.READ, run={"group": "city"})
    assert (group.name, group.prefixed) == ("city", False)
    (ids,) = allowed(Kind.TRANSACTIONAL_ID, Operation.WRITE)
    assert ids.prefixed
    assert transactional_id(new_run_name(1), 0).startswith(ids.name)
    (ids,) = allowed(Kind.TRANSACTIONAL_ID, Operation.WRITE, run={"name": "north"})
    assert ids.prefixed
    assert transactional_id("north", 12).startswith(ids.name)
    assert not transactional_id("north-2", 0).startswith(ids.name)


def test_a_prefix_is_for_groups_and_runs() -> None:
    """One for both, so that several runs of a site need one more line and not two each."""
    acls = {"kafka": {"acls": {"prefix": "city-"}}}
    found = allowed(Kind.GROUP, Operation.READ, **acls) + allowed(Kind.TRANSACTIONAL_ID, Operation.WRITE, **acls)
    assert [(acl.name, acl.prefixed) for acl in found] == [("city-", True)] * 2


def test_what_goes_beyond_the_roles_is_found() -> None:
    """More of the same, the whole kind, everything at once, and what everybody may."""
    beyond = [
        Acl("User:camera", Kind.TOPIC, ALERTS, Operation.READ),
        Acl("User:camera", Kind.TOPIC, FRAMES, Operation.WRITE, prefixed=True),
        Acl("User:auditor", Kind.TOPIC, "*", "all"),
        Acl("User:worker", Kind.GROUP, "*", Operation.READ),
        Acl("User:*", Kind.CLUSTER, "kafka-cluster", "alter"),
        Acl("User:console", Kind.TOPIC, FRAMES, Operation.READ, host="10.0.0.1"),
        Acl("User:worker", Kind.GROUP, "lamp", Operation.READ, prefixed=True),
        Acl("User:worker", Kind.TRANSACTIONAL_ID, "r", Operation.WRITE, prefixed=True),
        Acl("User:console", Kind.GROUP, "south", Operation.DESCRIBE),
        Acl("User:enroller", Kind.TOPIC, WATCHLIST, Operation.DESCRIBE_CONFIGS),
        Acl("User:*", Kind.TOPIC, FRAMES, Operation.WRITE),
    ]
    assert beyond_roles([*DEFAULT, *beyond], DEFAULT) == beyond


def test_what_others_need_is_not_beyond() -> None:
    """Another principal is none of ours, and another run of this principal has another group."""
    others = [
        Acl("User:backup", Kind.TOPIC, FRAMES, Operation.READ),
        Acl("User:worker", Kind.GROUP, "south", Operation.READ),
        Acl("User:worker", Kind.TRANSACTIONAL_ID, "south.worker-", Operation.WRITE, prefixed=True),
    ]
    assert beyond_roles([*DEFAULT, *others], DEFAULT) == []


def test_a_part_of_what_a_role_needs_is_not_beyond() -> None:
    """From one host, of one run among those that begin so, or what reading and writing include."""
    parts = [
        Acl("User:camera", Kind.TOPIC, FRAMES, Operation.WRITE, host="10.0.0.1"),
        Acl("User:camera", Kind.TOPIC, FRAMES, Operation.DESCRIBE),
        Acl("User:worker", Kind.TRANSACTIONAL_ID, "run-7.worker-0", Operation.WRITE),
        Acl("User:worker", Kind.TRANSACTIONAL_ID, "run-7.worker-", Operation.DESCRIBE, prefixed=True),
        Acl("User:worker", Kind.GROUP, "south", Operation.DESCRIBE),
    ]
    assert beyond_roles([*DEFAULT, *parts], DEFAULT) == []


@pytest.mark.parametrize("principals", [[], ["User:cam-1"]])
def test_what_a_role_was_allowed_before_it_was_taken_away_is_beyond(principals: list[str]) -> None:
    """Of a principal that the settings no longer name."""
    wanted = [acl for _, acl in wanted_acls(Settings.model_validate({"kafka": {"acls": {"camera": principals}}}))]
    assert beyond_roles([*DEFAULT, *wanted], wanted) == [FIRST]


def test_a_principal_of_two_roles_has_the_rights_of_both() -> None:
    """And nothing of either is beyond."""
    both = Settings.model_validate({"kafka": {"acls": {"auditor": ["User:ops"], "console": ["User:ops"]}}})
    acls = [acl for _, acl in wanted_acls(both)]
    assert {ALERTS, FRAMES} <= {acl.name for acl in acls if acl.principal == "User:ops"}
    assert beyond_roles(acls, acls) == []


@pytest.mark.parametrize(
    ("value", "said"),
    [("camera", "write User:NAME"), (":camera", "write User:NAME"), ("User:", "write User:NAME"),
     ("User:CN=a,OU=b", "in a file as a list"), ("User:*", "everybody")],
)  # fmt: skip
def test_a_principal_that_is_none_is_refused(value: str, said: str) -> None:
    """A distinguished name has commas, which a list in a file keeps."""
    with pytest.raises(SettingsError, match=said) as raised:
        resolve((Option("--acl-principal camera", "kafka.acls.camera", value),))
    assert "kafka.acls.camera" in str(raised.value)
    named = Settings.model_validate({"kafka": {"acls": {"camera": ["User:CN=a,OU=b"]}}})
    assert named.kafka.acls.camera == ("User:CN=a,OU=b",)


def test_topics_that_differ_do_not_hide_what_is_allowed_beyond_the_roles(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both are said in the one line."""
    for job, name, answer in (
        (acls, "create", []),
        (acls, "excess", [Acl("User:camera", Kind.TOPIC, FRAMES, Operation.READ)]),
        (topics, "create", []),
        (topics, "differences", [topics.Line(FRAMES, topics.DRIFT, "partitions=4, 8 wanted")]),
    ):
        monkeypatch.setattr(job, name, lambda _, answer=answer: answer)
    monkeypatch.setattr(sys, "argv", ["lamppost", "topics", "create", "--brokers", "127.0.0.1:1", "--acls"])
    with pytest.raises(SystemExit) as ended:
        main()
    err = capsys.readouterr().err
    assert (ended.value.code, err.count("\n")) == (1, 1)
    assert "frames has partitions=4, 8 wanted. " in err
    assert "allowed beyond the roles: User:camera may read topic frames. " in err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--acl-principal", "camera=User:a"), "add --acls"),
        (("--acl-prefix", "city-"), "add --acls"),
        (("--acls", "--acl-principal", "camera"), "should be ROLE=PRINCIPAL"),
        (("--acls", "--acl-principal", "owner=User:a"), "roles are camera, worker, enroller, console, auditor"),
        (("--acls", "--acl-principal", "camera=a"), "--acl-principal camera"),
    ],
)
def test_options_without_a_meaning_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], said: str
) -> None:
    """Before Kafka is asked for anything."""
    monkeypatch.setattr(sys, "argv", ["lamppost", "topics", "create", "--brokers", "127.0.0.1:1", *options])
    with pytest.raises(SystemExit) as ended:
        main()
    err = capsys.readouterr().err
    assert (ended.value.code, err.count("\n"), said in err) == (2, 1, True)
