"""The demo serves the example, and tells a right answer from a wrong one."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.support.project import ROOT

DEMO = ROOT / "examples" / "demo.py"
Run: TypeAlias = subprocess.CompletedProcess[str]


def run_demo(folder: Path, **environment: str) -> Run:
    """Run the demo from *folder*, which is its folder for temporary files, too."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in {"DATABASE_URL", "EXAMPLE", "FEATURE_REGISTRATION"}
    }
    return subprocess.run(
        [sys.executable, DEMO],
        cwd=folder,
        env=inherited | {"TMPDIR": str(folder), "CHECK": "1"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.timeout(180)
def test_check_prints_the_answers_and_leaves_no_file_behind(tmp_path: Path) -> None:
    run = run_demo(tmp_path, PORT="8000", EXAMPLE="users")

    assert (run.returncode, run.stderr) == (0, "")
    lines = run.stdout.splitlines()
    assert lines[0].startswith('POST /users -> 201 {"id":1,')
    assert lines[1].startswith("websocket -> {'type': 'user_created'")
    assert lines[-1] == "All answers are right."
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A check of an application that refuses registrations."""
    return run_demo(tmp_path_factory.mktemp("demo"), FEATURE_REGISTRATION="false")


@pytest.mark.timeout(180)
def test_check_fails_where_an_answer_is_wrong(failed: Run) -> None:
    assert failed.returncode != 0
    assert "POST /users -> 403" in failed.stdout
    assert "Wrong: status: expected 201, got 403" in failed.stderr
    assert "The check has failed." in failed.stderr


@pytest.mark.timeout(180)
def test_server_logs_lines_of_json_with_the_correlation_id(failed: Run) -> None:
    lines = failed.stderr.splitlines()  # the log is shown where the check fails

    log = [json.loads(line) for line in lines if line.startswith("{")]

    request = [line for line in log if "POST /users" in line["message"]]
    assert [line["logger"] for line in request] == [
        "layerkit.fastapi",
        "uvicorn.access",
    ]
    assert len({line["correlation_id"] for line in request}) == 1


@pytest.mark.timeout(180)
def test_check_says_so_where_the_server_does_not_come_up(tmp_path: Path) -> None:
    nowhere = f"sqlite:///{tmp_path.as_posix()}/missing/users.db"

    run = run_demo(tmp_path, DATABASE_URL=nowhere)

    assert run.returncode != 0
    assert "The server ended with status 3 before it answered." in run.stderr
    assert "unable to open database file" in run.stderr


def test_unknown_example_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    run = run_demo(tmp_path, EXAMPLE="nothing")

    assert run.returncode != 0
    assert run.stderr.startswith("There is no example 'nothing'; there is: users, ")
    assert "quickstart" in run.stderr


def test_quickstart_runs_and_ends(tmp_path: Path) -> None:
    run = run_demo(tmp_path, EXAMPLE="quickstart")

    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("at example.org: ada@example.org\n")


@pytest.mark.parametrize("port", ["eighty", "-1", "65536", "8e3"])
def test_what_is_no_port_is_refused_with_what_is(tmp_path: Path, port: str) -> None:
    run = run_demo(tmp_path, CHECK="", PORT=port)

    assert run.returncode != 0
    assert run.stderr == f"PORT={port} is no port: it takes a number up to 65535.\n"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("SECRET_KEY", "short", "is not valid (too_short, min_length 16)"),
        ("PORT", "65536", "is not valid (less_than_equal, le 65535)"),
        ("ENVIRONMENT", "prod", "looks like production"),
    ],
)
def test_application_names_the_setting_that_is_wrong_without_a_traceback(
    tmp_path: Path, name: str, value: str, problem: str
) -> None:
    good = {"DATABASE_URL": "memory://", "SECRET_KEY": "k" * 32}

    run = subprocess.run(
        [sys.executable, "-m", "examples.users"],
        cwd=ROOT,
        env=os.environ | good | {"TMPDIR": str(tmp_path), name: value},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode != 0
    assert f"- {name} {problem}" in run.stderr
    assert "Traceback" not in run.stderr
