"""The command line: help, examples, failures and commands of other packages."""

import errno
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import typer

import pipeline
from pipeline.cli import app as cli
from pipeline.cli import extensions, failures
from pipeline.errors import BrokerError, CustodyError, InputError, LamppostError, ResourceError, SettingsError

HEAVY = {"torch", "ray", "faiss", "confluent_kafka", "cv2", "numba", "numpy", "av", "pydantic", "prometheus_client"}


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that is no group, with its words."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


TREE = dict(commands(typer.main.get_command(cli.build())))
OWN = {words: command for words, command in TREE.items() if not (command.help or "").startswith("From the package")}


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command line."""
    monkeypatch.setattr(sys, "argv", ["lamppost", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    seen = capsys.readouterr()
    code = ended.value.code
    assert code is None or isinstance(code, int)
    return code or 0, seen.out, seen.err


def test_the_commands_are_those_that_are_promised() -> None:
    """The README and the design name them."""
    assert set(OWN) == {
        ("demo",), ("run",), ("cameras",), ("train",), ("evaluate",), ("settings",), ("doctor",), ("kafka", "start"),
        ("topics", "create"), ("topics", "check"), ("topics", "show"),
        ("watchlist", "load"), ("watchlist", "add"), ("watchlist", "remove"), ("watchlist", "show"),
    }  # fmt: skip


@pytest.mark.parametrize("words", OWN, ids=" ".join)
def test_the_examples_of_a_commands_help_are_taken(words: tuple[str, ...]) -> None:
    """Each is a call of this very command whose options exist and whose values parse."""
    _, *examples = OWN[words].epilog.split("\n\n")
    assert examples
    for example in examples:
        line = example.partition(" > ")[0].partition("lamppost ")[2]
        arguments = shlex.split(line)
        assert tuple(arguments[: len(words)]) == words
        OWN[words].make_context("lamppost", arguments[len(words) :])


@pytest.mark.parametrize(("name", "count"), [("own-run.md", 5), ("securing-the-wire.md", 8)])
def test_the_commands_of_the_walk_throughs_are_taken(name: str, count: int) -> None:
    """They are what a newcomer types, line by line."""
    page = (Path(__file__).parents[2] / "docs" / name).read_text(encoding="utf-8")
    lines = [shlex.split(line)[1:] for line in page.splitlines() if line.startswith("lamppost ")]
    assert len(lines) == count
    for line in lines:
        (words,) = (words for words in OWN if tuple(line[: len(words)]) == words)
        OWN[words].make_context("lamppost", line[len(words) :])


def test_nodes_of_a_kafka_that_is_there_already_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The demo would start none, and say nothing about it."""
    code, _, err = run(monkeypatch, capsys, "demo", "--brokers", "127.0.0.1:9092", "--kafka-nodes", "3")
    assert (code, err.count("\n")) == (2, 1)
    assert "--kafka-nodes" in err
    assert "--brokers" in err


def test_help_imports_nothing_heavy() -> None:
    """That is what makes it answer at once; the jobs are imported when they are called."""
    code = (
        "import sys\nsys.argv = ['lamppost', '--help']\nfrom pipeline.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        f"found = {HEAVY!r} & set(sys.modules)\nsys.exit(f'imported {{found}}' if found else 0)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "watchlist" in ended.stdout


def test_the_installed_command_prints_its_version() -> None:
    """The script of the distribution reaches main()."""
    script = Path(sys.executable).with_name("lamppost")
    ended = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (0, f"lamppost {pipeline.__version__}\n")


def test_a_wrong_option_is_one_line_and_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line names option, field, value and bound."""
    code, out, err = run(monkeypatch, capsys, "demo", "--fps", "99")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "cameras.fps=99.0 (option --fps)" in err


def test_a_command_that_needs_kafka_says_how_to_name_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only the demo starts one by itself."""
    code, _, err = run(monkeypatch, capsys, "topics", "show")
    assert (code, err.count("\n")) == (2, 1)
    assert "--brokers HOST:PORT" in err


@pytest.mark.parametrize(
    "arguments", [(), ("people.npz", "--synthetic"), ("people.npz", "--seed", "1"), ("people.npz", "--size", "5")]
)
def test_a_watchlist_comes_from_a_file_or_is_synthetic(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither, both, and a seed that a file has no use for are refused in one line."""
    code, _, err = run(monkeypatch, capsys, "watchlist", "load", *arguments, "--brokers", "127.0.0.1:1")
    assert (code, err.count("\n"), "--synthetic" in err) == (2, 1, True)


def test_a_file_that_cannot_be_loaded_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """No progress of something that never began stands before it."""
    (tmp_path / "p.npz").write_bytes(b"garbage")
    code, out, err = run(monkeypatch, capsys, "watchlist", "load", str(tmp_path / "p.npz"), "--brokers", "127.0.0.1:1")
    assert (code, out, err.count("\n")) == (3, "", 1)


def test_a_kafka_that_does_not_answer_is_told_with_the_setting_to_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever the command, since each asks in the same place. One partition is no offence to the workers' number."""
    code, _, err = run(monkeypatch, capsys, "topics", "create", "--partitions", "1", "--brokers", "127.0.0.1:1")
    assert (code, err.count("\n")) == (4, 1)
    assert "kafka.brokers (--brokers)" in err


def test_topics_can_be_created_with_the_settings_of_an_elastic_pool(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither bound is this command's business, whatever number of partitions it is asked for."""
    monkeypatch.setenv("LAMPPOST_SCALING__MIN", "2")
    monkeypatch.setenv("LAMPPOST_SCALING__MAX", "4")
    code, _, err = run(monkeypatch, capsys, "topics", "create", "--partitions", "1", "--brokers", "127.0.0.1:1")
    assert code == BrokerError.exit_code
    assert "127.0.0.1:1" in err


def test_settings_are_listed_with_their_origin(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A line each, separated by tabs where the output is no terminal; secrets are not shown."""
    file = tmp_path / "city.toml"
    file.write_text('[cameras]\nfps = 4\n[kafka.security]\nproperties = {x = "hush"}\n', encoding="utf-8")
    code, out, _ = run(monkeypatch, capsys, "settings", "--settings", str(file))
    assert code == 0
    assert f"cameras.fps\t4.0\tfile {file}" in out.splitlines()
    assert "cameras.count\t6\tdefault" in out.splitlines()
    assert "hush" not in out


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (SettingsError("bad"), 2, "bad"),
        (InputError("bad\nfile"), 3, "bad file"),
        (BrokerError("gone"), 4, "gone"),
        (ResourceError("full"), 6, "full"),
        (CustodyError("gap"), 8, "gap"),
        (LamppostError("other"), 1, "other"),
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), 6, "/x/y: no space is left on the disk"),
        (OSError(errno.EADDRINUSE, "Address already in use"), 6, "choose another port"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/x"), 3, "/x: No such file"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 3, "/x: Permission denied"),
        (MemoryError(), 6, "memory has run out"),
        (KeyError("x"), 70, "fault of Lamppost: KeyError('x'); --verbose"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
    ids=repr,
)
def test_each_kind_of_failure_has_its_line_and_code(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line on stderr, nothing on stdout, and no traceback."""
    assert failures.report(error, verbose=False) == code
    seen = capsys.readouterr()
    assert (seen.out, seen.err.count("\n")) == ("", 1)
    assert said in seen.err


def test_verbose_adds_the_traceback_with_its_causes(capsys: pytest.CaptureFixture[str]) -> None:
    """For the author of a report."""
    error = BrokerError("gone")
    error.__cause__ = KeyError("cause")
    failures.report(error, verbose=True)
    said = capsys.readouterr().err
    assert "BrokerError: gone" in said
    assert "KeyError: 'cause'" in said


def test_every_exit_code_is_documented() -> None:
    """docs/errors.md lists the codes that a script may meet."""
    page = (Path(__file__).parents[2] / "docs" / "errors.md").read_text(encoding="utf-8")
    codes = {0, failures.INTERRUPTED, failures.INTERNAL, LamppostError.exit_code}
    codes |= {kind.exit_code for kind in LamppostError.__subclasses__()}
    assert [code for code in codes if f"| {code} |" not in page] == []


def point(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> EntryPoint:
    """An entry point of a package that a test writes."""
    (tmp_path / f"{module}.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return EntryPoint(name="extra", value=f"{module}:app", group=extensions.GROUP)


EXTENSION = """
import typer
app = typer.Typer()
@app.command()
def greet(name: str, loud: bool = False):
    typer.echo(name.upper() if loud else name)
@app.command()
def other():
    pass
"""


def test_another_packages_command_gets_its_own_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Options and --help included, and it is imported only when it is called."""
    announced = point("extension_that_greets", tmp_path, monkeypatch, EXTENSION)
    monkeypatch.setattr(extensions, "entry_points", lambda group: [announced] if group == extensions.GROUP else [])
    _, out, _ = run(monkeypatch, capsys, "--help")
    assert "extra" in out
    assert "extension_that_greets" not in sys.modules
    assert run(monkeypatch, capsys, "extra", "greet", "you", "--loud")[:2] == (0, "YOU\n")
    code, out, _ = run(monkeypatch, capsys, "extra", "--help")
    assert (code, "greet" in out) == (0, True)


@pytest.mark.parametrize(
    ("source", "said"),
    [("import not_there_at_all", "not_there_at_all"), ("app = 3", "not a Typer app"), ("1 / 0", "ZeroDivisionError")],
)
def test_another_packages_broken_command_breaks_only_itself(
    source: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others still work, and calling it names command, package and cause."""
    announced = point(f"broken_{len(source)}", tmp_path, monkeypatch, source)
    monkeypatch.setattr(extensions, "entry_points", lambda group: [announced] if group == extensions.GROUP else [])
    assert run(monkeypatch, capsys, "--version")[0] == 0
    code, _, err = run(monkeypatch, capsys, "extra")
    assert (code, err.count("\n")) == (1, 1)
    assert f"command 'extra' of the package {announced.module}" in err
    assert said in err


def test_another_packages_command_cannot_take_the_name_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """`lamppost demo` stays what the README says."""
    stolen = EntryPoint(name="demo", value="anything:app", group=extensions.GROUP)
    monkeypatch.setattr(extensions, "entry_points", lambda group: [stolen] if group == extensions.GROUP else [])
    (demo,) = [command for words, command in commands(typer.main.get_command(cli.build())) if words == ("demo",)]
    assert demo.help == OWN["demo",].help


def test_an_interrupt_ends_a_command_with_130_and_no_traceback(tmp_path: Path) -> None:
    """A real SIGINT, while a command waits."""
    (tmp_path / "waits.py").write_text(
        "import signal, typer\napp = typer.Typer()\n@app.command()\ndef wait():\n"
        "    print('waiting', flush=True)\n    signal.pause()\n",
        encoding="utf-8",
    )
    code = (
        "import sys\nfrom importlib.metadata import EntryPoint\nfrom pipeline.cli import app, extensions\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "extensions.entry_points = lambda group: [EntryPoint('wait', 'waits:app', group)]\n"
        "sys.argv = ['lamppost', 'wait']\napp.main()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == failures.INTERRUPTED
    assert "Traceback" not in err
