"""Where settings come from, and what a wrong one says."""

from pathlib import Path

import pytest
from resolved_settings import WriteToml, origin, refusal

from pipeline.actors.pool import LAST_WORDS_SECONDS
from pipeline.actors.supervisor import ORPHAN_DRAIN_SECONDS
from pipeline.runtime.settings import Cameras, Kafka, Lifecycle, Settings
from pipeline.runtime.settings_cameras import STREETS
from pipeline.runtime.settings_reference import as_settings_file
from pipeline.runtime.settings_sources import Option, description, known_fields, resolve, variable_of
from pipeline.synthetic.seeds import Population, group

pytestmark = pytest.mark.usefixtures("clean_environment")


def test_option_beats_environment_beats_file_beats_default(monkeypatch: pytest.MonkeyPatch, toml: WriteToml) -> None:
    """Each source is laid over the ones before it, and the origin says which one won."""
    file = toml("[cameras]\nfps = 3\n")
    option = Option("--fps", "cameras.fps", 5.0)
    assert origin("cameras.fps") == ("2.0", "default")
    assert origin("cameras.fps", file=file) == ("3.0", f"file {file}")
    monkeypatch.setenv("LAMPPOST_CAMERAS__FPS", "4")
    assert origin("cameras.fps", file=file) == ("4.0", "environment LAMPPOST_CAMERAS__FPS")
    assert origin("cameras.fps", (option,), file) == ("5.0", "option --fps")


def test_an_option_that_was_not_given_changes_nothing(toml: WriteToml) -> None:
    """The command line hands over None for it."""
    file = toml("[cameras]\nfps = 3\n")
    assert origin("cameras.fps", (Option("--fps", "cameras.fps", None),), file)[0] == "3.0"


def test_sections_of_different_sources_are_merged_field_by_field(
    monkeypatch: pytest.MonkeyPatch, toml: WriteToml
) -> None:
    """One option of a section does not hide the file's others."""
    monkeypatch.setenv("LAMPPOST_CAMERAS__COUNT", "9")
    settings = resolve((Option("--seed", "cameras.seed", 7),), toml("[cameras]\nfps = 3\nwidth = 1920\n")).settings
    assert (settings.cameras.count, settings.cameras.seed, settings.cameras.fps, settings.cameras.width) == (
        9, 7, 3.0, 1920,
    )  # fmt: skip


def test_every_setting_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable of a field is its name in capitals with two underscores between section and field."""
    shown = {row.field: row.value for row in resolve().rows()}
    given = {field: value for field, value in shown.items() if value != "none"}
    for field, value in given.items():
        monkeypatch.setenv(variable_of(field), value)
    rows = {row.field: row for row in resolve().rows()}
    assert {field: row.value for field, row in rows.items()} == shown
    assert {rows[field].origin for field in given} == {f"environment {variable_of(field)}" for field in given}


def test_the_variable_lamppost_settings_names_the_file(monkeypatch: pytest.MonkeyPatch, toml: WriteToml) -> None:
    """A container sets one variable and mounts one file."""
    monkeypatch.setenv("LAMPPOST_SETTINGS", str(toml("[run]\nworkers = 1\n")))
    assert resolve().settings.run.workers == 1


def test_none_takes_a_file_setting_back(monkeypatch: pytest.MonkeyPatch, toml: WriteToml) -> None:
    """TOML has no null, and an empty variable counts as unset."""
    file = toml('[kafka]\nbrokers = "kafka:9092"\n')
    monkeypatch.setenv("LAMPPOST_KAFKA__BROKERS", "")
    assert resolve(file=file).settings.kafka.brokers == "kafka:9092"
    monkeypatch.setenv("LAMPPOST_KAFKA__BROKERS", "none")
    assert resolve(file=file).settings.kafka.brokers is None


def test_no_two_seeds_of_streets_have_the_same_watchlist() -> None:
    """Beyond the last one the groups of people begin again."""
    last = Cameras(seed=STREETS - 1).seed
    first_people = {group(Population.WATCHLIST, seed, 1) for seed in (0, 1, last)}
    assert len(first_people) == 3
    assert group(Population.WATCHLIST, STREETS, 1) == group(Population.WATCHLIST, 0, 1)


def test_several_sources_of_cameras_are_written_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Options and variables are one string each."""
    monkeypatch.setenv("LAMPPOST_CAMERAS__SOURCES", "a.mp4, b.mp4")
    assert resolve().settings.cameras.sources == ("a.mp4", "b.mp4")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[cameras]\nfpss = 2\n", ["unknown setting cameras.fpss", "nearest known: cameras.fps"]),
        ("[kamera]\ncount = 2\n", ["unknown setting kamera.count", "nearest known: cameras.count"]),
        ("workers = 2\n", ["unknown setting workers", "nearest known: run.workers"]),
        ("cameras = 2\n", ["cameras", "[cameras]"]),
        ("[cameras", ["not valid TOML"]),
        ("[cameras]\nfps = 0\n", ["cameras.fps=0", "greater than 0"]),
        ("[cameras]\nfps = 61\n", ["cameras.fps=61", "less than or equal to 60"]),
        ("[cameras]\nfps = nan\n", ["cameras.fps=nan", "finite"]),
        ("[cameras]\nseed = 1048576\n", ["cameras.seed=1048576", "less than 1048576", "Seed of the synthetic street"]),
        ("[cameras]\ncount = 0\n", ["cameras.count=0", "greater than or equal to 1"]),
        ("[matching]\nshards = 0\n", ["matching.shards=0", "greater than or equal to 1"]),
        ("[matching]\nthreshold = 1.5\n", ["matching.threshold=1.5", "less than or equal to 1"]),
        ("[lifecycle]\nlease_seconds = 40\n", ["lifecycle.lease_seconds=40", "less than or equal to 20"]),
        ('[overload]\npolicy = "drop"\n', ["overload.policy='drop'", "'shed-oldest' or 'block'"]),
        ('[run]\nname = "My Run"\n', ["run.name='My Run'", "small letters, digits and hyphens"]),
        ("[cameras]\nfps = true\n", ["cameras.fps=true", "should not be true or false"]),
        ('[cameras]\nloop = "yes"\n', ["cameras.loop='yes'", "should be true or false"]),
        ('[metrics]\nhost = "foo bar"\n', ["metrics.host='foo bar'", "such as 127.0.0.1"]),
        ("[demo]\nseconds = nan\n", ["demo.seconds=nan", "finite"]),
        ('[vision]\ndevice = "tpu"\n', ["vision.device='tpu'", "cuda:N"]),
        ("[kafka]\nbrokers = [1]\n", ["kafka.brokers=[1]", "string"]),
        ('[kafka]\nbrokers = ["a:1", "b"]\n', ["'b' is no HOST:PORT"]),
        (
            '[kafka.security]\nprotocol = "sasl_ssl"\nmechanism = "PLAIN"\npassword_file = "/not/there"\n',
            ["kafka.security.password_file=/not/there", "no such"],
        ),
        ('[kafka]\nbrokers = "kafka"\n', ["kafka.brokers='kafka'", "HOST:PORT"]),
        ("[kafka]\nnodes = 2\n", ["kafka.nodes=2", "should be 1 or 3"]),
        ('[kafka]\nbrokers = "a:1,b:99999"\n', ["'b:99999'", "HOST:PORT"]),
    ],
)
def test_a_wrong_setting_in_the_file_names_field_value_file_and_fix(
    text: str, said: list[str], toml: WriteToml
) -> None:
    """One line each, with the file it stands in."""
    file = toml(text)
    message = refusal(file=file)
    assert [word for word in [*said, f"file {file}"] if word not in message] == []


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("LAMPPOST_KAFKA__BROKRS", "a:1", "nearest known: LAMPPOST_KAFKA__BROKERS"),
        ("LAMPPOST_KAFAK__BROKERS", "a:1", "nearest known: LAMPPOST_KAFKA__BROKERS"),
        ("LAMPPOST_FPS", "2", "nearest known: LAMPPOST_CAMERAS__FPS"),
        ("LAMPPOST_FOO", "2", "`lamppost settings` lists"),
        ("LAMPPOST_CAMERAS__FPS", "fast", "valid number"),
        ("LAMPPOST_KAFKA__SECURITY__PROPERTIES", "a=b", "JSON object"),
    ],
)
def test_a_wrong_variable_is_named(variable: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt variable would otherwise be ignored in silence."""
    monkeypatch.setenv(variable, value)
    message = refusal()
    assert variable in message
    assert said in message


@pytest.mark.parametrize(
    "variable",
    ["LAMPPOST_SERVICE_HOST", "LAMPPOST_GRAFANA_PORT_3000_TCP_ADDR", "LAMPPOST_PORT", "LAMPPOST_SERVICE_PORT_HTTP"],
)
def test_variables_that_kubernetes_sets_for_a_service_are_no_settings(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service called lamppost would stop every pod of its namespace otherwise."""
    monkeypatch.setenv(variable, "tcp://10.0.0.1:80")
    assert resolve().origins == {}


def test_a_worker_without_a_partition_is_refused_with_both_numbers(toml: WriteToml) -> None:
    """A group has no more working members than partitions."""
    message = refusal((Option("--workers", "run.workers", 9),), toml("[run]\npartitions = 6\n"))
    assert "partitions=6 is less than workers=9" in message
    assert "run.workers from option --workers" in message


def test_several_complaints_are_one_line(toml: WriteToml) -> None:
    """Three are named, so that a file is not corrected one run at a time; the rest is counted."""
    message = refusal(file=toml("[cameras]\nfps = 0\ncount = 0\n"))
    assert "cameras.count=0" in message
    assert "; also cameras.fps=0" in message
    assert refusal(file=toml("[cameras]\nfps = 0\ncount = 0\nwidth = 0\nheight = 0\n")).endswith("(and 1 more)")


@pytest.mark.parametrize(
    ("section", "name", "most"),
    [
        ("overload", "max_age_seconds", 86_400),
        ("overload", "clock_tolerance_seconds", 30),
        ("scaling", "target_lag_seconds", 86_400),
        ("matching", "rebuild_seconds", 86_400),
        ("matching", "search_deadline_seconds", 86_400),
        ("cameras", "seconds", 366 * 86_400),
        ("lifecycle", "start_seconds", 86_400),
        ("lifecycle", "drain_seconds", 86_400),
    ],
)
def test_a_duration_has_a_greatest(section: str, name: str, most: int, toml: WriteToml) -> None:
    """A greater one would overflow in every process of a run, long after it was read."""
    settings = resolve(file=toml(f"[{section}]\n{name} = {most}\n")).settings
    assert getattr(getattr(settings, section), name) == most
    assert f"{section}.{name}=1e+300" in refusal(file=toml(f"[{section}]\n{name} = 1e300\n"))
    assert f"{section}.{name}={most + 1}" in refusal(file=toml(f"[{section}]\n{name} = {most + 1}\n"))


def test_no_regular_expression_is_shown(toml: WriteToml) -> None:
    """The setting's own words say what is taken."""
    message = refusal(file=toml('[run]\nname = "My Run"\n[vision]\ndevice = "tpu"\n'))
    assert [sign for sign in ("^", "$", "\\") if sign in message] == []


def test_brokers_may_be_a_list_in_the_file(toml: WriteToml) -> None:
    """As the other settings of several values."""
    assert resolve(file=toml('[kafka]\nbrokers = ["a:1", "b:2"]\n')).settings.kafka.brokers == "a:1,b:2"


def test_a_settings_file_that_does_not_exist_says_how_to_name_one(tmp_path: Path) -> None:
    """A wrong path is no reason for a traceback."""
    assert "--settings" in refusal(file=tmp_path / "none.toml")


def test_settings_are_frozen_and_read_nothing_when_constructed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test's settings do not depend on the machine, and no code can change one that was resolved."""
    monkeypatch.setenv("LAMPPOST_RUN__WORKERS", "1")
    settings = Settings(kafka=Kafka(brokers="kafka:9092"))
    assert settings.run.workers == 2
    with pytest.raises(ValueError, match="frozen"):
        settings.run.workers = 1


def test_every_setting_says_what_it_is() -> None:
    """`docs/settings.md` and the complaints are made from these sentences."""
    assert [field for field in known_fields() if not description(field).endswith(".")] == []


def test_the_printed_settings_file_sets_what_holds(toml: WriteToml) -> None:
    """`lamppost settings --toml` is a file to begin with: read back, it gives the same settings."""
    settings = resolve(
        (Option("--fps", "cameras.fps", 3.5), Option("SOURCE", "cameras.sources", ('a "b".mp4', "c")))
    ).settings
    assert resolve(file=toml(as_settings_file(settings))).settings == settings


def test_the_longest_lease_leaves_nothing_of_a_dead_command_after_30_seconds() -> None:
    """Lease, the look at it, and what the supervisor may then take to end its processes and itself."""
    with pytest.raises(ValueError, match="lease_seconds"):
        Lifecycle(lease_seconds=20.1)
    longest = Lifecycle(lease_seconds=20.0).lease_seconds
    assert longest + 1.0 + 2 * ORPHAN_DRAIN_SECONDS + LAST_WORDS_SECONDS <= 30.0
