"""One run at a time in a folder; a folder that cannot be written is known at once."""

import os
import signal
import subprocess
import sys

import pytest

from medgenesis.bundles import begin_run
from medgenesis.errors import OutputError
from medgenesis.storage import check_writable, held, hold_folder, release_folder

HOLDS = """
import os, sys, time
from medgenesis.storage import hold_folder
hold_folder(sys.argv[1])
if len(sys.argv) > 2 and os.fork() == 0:
    time.sleep(60)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """Start a process that holds the folder, with a forked worker if asked; killed when the test ends."""
    started = []

    def start(*more):
        command = [sys.executable, "-c", HOLDS, str(tmp_path), *more]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True))
        assert started[-1].stdout.readline() == "held\n"
        return started[-1]

    yield start
    release_folder(tmp_path)
    for process in started:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_another_process_is_refused_until_the_first_has_died(tmp_path, other):
    first = other("and a worker")  # which outlives it, as those of a loader do for seconds
    with pytest.raises(OutputError, match=f"one run at a time; found process {first.pid} of .*another output_dir"):
        hold_folder(tmp_path)
    first.send_signal(signal.SIGKILL)
    first.wait()
    hold_folder(tmp_path)


def test_a_training_is_refused_before_it_touches_the_record_of_the_other(tmp_path, other):
    """Else the report of the one at work would show the settings of the one that was refused."""
    other()
    with pytest.raises(OutputError, match="one run at a time"):
        begin_run(tmp_path, tmp_path / "models")
    begin_run(tmp_path)  # several may apply weights into one folder: names of results are claimed


def test_the_same_process_again_a_new_folder_and_release(tmp_path, other):
    folder = tmp_path / "run"
    hold_folder(folder)
    hold_folder(os.path.relpath(folder))
    (folder / ".running").unlink()
    hold_folder(folder)  # of a folder removed and made anew
    assert (folder / ".running").is_file()
    release_folder(folder)
    release_folder(folder)


def test_the_lock_goes_with_the_run_and_is_taken_by_the_next(tmp_path):
    hold = f"from medgenesis.storage.run_folder import hold_folder; hold_folder({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", hold], check=True)
    assert not list(tmp_path.iterdir())
    hold_folder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".running"]
    release_folder(tmp_path)
    assert not list(tmp_path.iterdir())


LOCKS = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'a+'), fcntl.LOCK_EX | fcntl.LOCK_NB)"


def refused(folder):
    """Whether the system refuses the lock to a process of its own."""
    lock = folder / ".running"
    ask = [sys.executable, "-c", LOCKS, lock]
    return lock.exists() and subprocess.run(ask, check=False, capture_output=True).returncode != 0


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_a_folder_is_held_within_the_block_however_it_ends(tmp_path, error):
    try:
        with held(tmp_path):
            assert refused(tmp_path)
            if error:
                raise error
    except (ValueError, KeyboardInterrupt) as raised:
        assert type(raised) is error
    assert not refused(tmp_path)


def test_what_was_held_before_the_block_stays_held(tmp_path):
    folder, link = tmp_path / "run", tmp_path / "link"
    hold_folder(folder)
    link.symlink_to(folder)
    with held(os.path.relpath(folder)), held(link):
        pass
    assert refused(folder)
    release_folder(link)
    assert not refused(folder)


def test_folders_below_that_the_block_has_held_are_let_go_of_with_it(tmp_path):
    """A training holds its own folder until the process ends, or until what it was a part of does."""
    earlier, inner, beside = (tmp_path / name for name in ("run/earlier", "run/fold_0/runs", "run_2"))
    hold_folder(earlier)
    with held(tmp_path / "run"):
        hold_folder(inner)
        hold_folder(beside)
    assert [refused(folder) for folder in (earlier, inner, beside)] == [True, False, True]
    release_folder(earlier)
    release_folder(beside)


def test_folders_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe")
    check_writable(tmp_path / "new" / "folder")
    assert (tmp_path / "new" / "folder").is_dir() and not list((tmp_path / "new" / "folder").iterdir())
    for path, kind in (("file", "file"), ("pipe", "named pipe")):
        with pytest.raises(OutputError, match=f"must be a folder; found a {kind}"):
            check_writable(tmp_path / path)
    with pytest.raises(OutputError, match="cannot be written"):
        check_writable("/proc/run")


def test_a_folder_without_the_right_to_write(tmp_path, monkeypatch):
    """As root may write anywhere, the system's refusal is put in its place."""

    def refuse(self, data):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr("pathlib.Path.write_bytes", refuse)
    with pytest.raises(OutputError, match=r"cannot be written \(Permission denied\).*Choose another folder"):
        hold_folder(tmp_path)


def test_a_lock_that_cannot_be_made(tmp_path, monkeypatch):
    """The folder can be written, but the lock of another user's run cannot be opened."""

    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr("medgenesis.storage.run_folder.check_writable", lambda folder: None)
    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(OutputError, match=r"\.running: cannot be written \(Permission denied\)"):
        hold_folder(tmp_path)
