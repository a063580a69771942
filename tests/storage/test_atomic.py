"""A reader sees the old file or the new one; what killed processes have left is swept, what lives is not."""

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from medgenesis import atomic
from medgenesis.errors import OutputError
from medgenesis.storage.atomic import replacing, write_text


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_writes_and_makes_folders(tmp_path):
    path = tmp_path / "a" / "b" / "table.csv"
    write_text(path, "µm\n")
    assert path.read_bytes() == "µm\n".encode()
    write_text(str(path), "mm\n")
    assert path.read_text() == "mm\n"
    assert names(path.parent) == ["table.csv"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(error), replacing(path) as beside:
        beside.write_text("half of the n")
        assert path.read_text() == "old"
        raise error
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_an_error_before_anything_is_written_is_the_one_seen(tmp_path):
    with pytest.raises(ValueError, match="mine"), replacing(tmp_path / "a.txt"):
        raise ValueError("mine")
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["scan.nii.gz", "a.png", "scan[1].nii.gz", "no_suffix", "b-c-d.csv"])
def test_the_name_beside_ends_as_the_path_does_and_is_in_its_folder(tmp_path, name):
    with replacing(tmp_path / name) as beside:
        assert beside.name.endswith(name) and beside.name.startswith(".") and beside.parent == tmp_path
        beside.touch()
    assert names(tmp_path) == [name]


KILLED = """
import os, signal, sys
from medgenesis.storage.atomic import replacing
with replacing(sys.argv[1]) as beside:
    beside.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("name", ["a.txt", "scan[1].txt"])
def test_what_a_killed_process_left_is_swept(tmp_path, name):
    path = tmp_path / name
    write_text(path, "old")
    assert subprocess.run([sys.executable, "-c", KILLED, path], check=False).returncode == -signal.SIGKILL
    assert len(names(tmp_path)) == 2
    assert path.read_text() == "old"
    write_text(path, "new")
    assert names(tmp_path) == [name]
    assert path.read_text() == "new"


def dead_pid():
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_only_the_dead_of_this_machine_and_of_this_path_are_swept(tmp_path, monkeypatch):
    dead, host = dead_pid(), socket.gethostname()
    kept = [
        f".{host}-{os.getppid()}.{os.getppid()}-a.txt",  # a writer that lives
        f".{host}-1.1-a.txt",  # somebody else's, whom we may not signal
        f".other-{dead}-a.txt",
        f".{host}-2-{dead}.{dead}-a.txt",  # of a machine `host-2`: whether its process lives is not known here
        f".{host}-two-{dead}-a.txt",
        f".{host}-{dead}.{dead}-b.txt",
        ".hidden.txt",
    ]
    for name in (*kept, f".{host}-{dead}.{dead}-a.txt"):
        (tmp_path / name).touch()
    write_text(tmp_path / "a.txt", "new")
    assert names(tmp_path) == sorted({*kept, "a.txt"})  # the writer that lives may be process 1


def test_what_cannot_be_swept_does_not_stop_the_writing(tmp_path):
    left = tmp_path / f".{socket.gethostname()}-{dead_pid()}.1-a.txt"
    left.mkdir()  # stands for a file of another user in a folder with the sticky bit
    write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "new"


WRITER = """
import sys, time
from medgenesis.storage.atomic import write_text
until = time.time() + 1.0
count = 0
while time.time() < until:
    write_text(sys.argv[1], sys.argv[2] * 100_000)
    count += 1
print(count)
"""


def test_writers_at_once_give_whole_files(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "0" * 100_000)
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, path, letter], text=True) for letter in "123"]
    seen, reads = set(), 0
    while any(writer.poll() is None for writer in writers):
        text = path.read_text()
        assert len(text) == 100_000 and len(set(text)) == 1
        seen.add(text[0])
        reads += 1
        time.sleep(0.001)
    assert all(writer.returncode == 0 for writer in writers)
    assert len(seen) > 1 and reads > 20
    assert names(tmp_path) == ["a.txt"]


def test_threads_of_one_process_do_not_share_the_name_beside(tmp_path):
    """A thread-pool loader fills a cache with several threads."""
    path, failures = tmp_path / "a.txt", []
    barrier = threading.Barrier(4)

    def write(letter):
        try:
            for _ in range(50):
                barrier.wait(10)
                write_text(path, letter * 50_000)
        except Exception as error:
            failures.append(error)
            barrier.abort()

    threads = [threading.Thread(target=write, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(set(path.read_text())) == 1


def test_running_knows_the_living_and_the_dead():
    assert atomic._running(os.getpid())
    assert atomic._running(1)
    assert not atomic._running(dead_pid())


@pytest.mark.parametrize("name", ["x" * 245 + ".nii.gz", "ä" * 120 + ".csv"])
def test_names_near_the_longest(tmp_path, name):
    write_text(tmp_path / name, "new")
    assert names(tmp_path) == [name]
    assert subprocess.run([sys.executable, "-c", KILLED, tmp_path / name], check=False).returncode == -signal.SIGKILL
    write_text(tmp_path / name, "newer")
    assert names(tmp_path) == [name]


def test_a_name_that_is_too_long_is_said(tmp_path):
    with pytest.raises(OutputError, match=r"cannot be written \(File name too long\).*Choose a shorter name"):
        write_text(tmp_path / ("x" * 256), "")
    assert names(tmp_path) == []


def test_bytes_of_a_name_that_are_not_utf_8(tmp_path):
    name = os.fsdecode("Müller".encode("latin-1"))
    write_text(tmp_path / name, name)
    assert (tmp_path / name).read_bytes() == "Müller".encode("latin-1")


def test_a_pipe_a_device_or_a_folder_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for path, kind in ((tmp_path / "pipe", "named pipe"), (tmp_path / "folder", "folder"), ("/dev/null", "device")):
        with pytest.raises(OutputError, match=f"must be a file.*found a {kind}"):
            write_text(path, "")
    assert names(tmp_path) == ["folder", "pipe"] and (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES])
def test_a_failed_write_names_the_file_and_the_true_reason(tmp_path, number):
    write_text(tmp_path / "a.csv", "old")
    with pytest.raises(OutputError) as raised, replacing(tmp_path / "a.csv"):
        raise OSError(number, os.strerror(number))
    assert str(raised.value).startswith(f"{tmp_path}/a.csv: cannot be written ({os.strerror(number)})")
    assert ("Free" in str(raised.value)) == (number == errno.ENOSPC)
    assert (tmp_path / "a.csv").read_text() == "old"


def test_an_error_of_another_file_in_the_block_is_its_own(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "a.csv"):
        (tmp_path / "absent").read_text()
