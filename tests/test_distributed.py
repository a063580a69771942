"""Work that one process of a machine does for all; two processes are tried in test_two_processes_a_node.py."""

import os
import subprocess
import sys

import pytest
import torch.distributed as dist

from medgenesis import distributed
from medgenesis.distributed import Flag, once_a_node, several_processes, waiting
from medgenesis.errors import TrainingError

BLOCKED = """
import sys, time, torch.distributed as dist
from medgenesis import distributed
from medgenesis.distributed import join_processes, once_a_node, waiting
rank, store, kind = int(sys.argv[1]), sys.argv[2], sys.argv[3]
distributed._A_WHILE, limit = 1.0, distributed.timedelta(seconds=2)
distributed._limits.update(dict.fromkeys(distributed._limits, limit))
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2, timeout=limit)
if kind == "reading":
    once_a_node(lambda: time.sleep(30))
dist.barrier()
if rank == 1:
    time.sleep(30)
with waiting():
    dist.barrier()
"""


def test_without_a_group_the_work_is_just_done():
    assert not several_processes()
    assert once_a_node(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        once_a_node(lambda: 1 / 0)


def test_a_flag_is_seen_by_its_name_alone(monkeypatch):
    store = dist.HashStore()
    monkeypatch.setattr(dist.distributed_c10d, "_get_default_store", lambda: store)
    one, same, other = Flag("stop 0"), Flag("stop 0"), Flag("stop 1")
    assert not one.is_set() and not same.is_set()
    one.set()
    assert one.is_set() and same.is_set() and not other.is_set()


def test_under_slurm_ignite_sees_the_rank_that_torchrun_gave(monkeypatch):
    """One task of Slurm starts all processes of a machine: its number is not theirs."""
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setenv("SLURM_LOCALID", "0")
    distributed.join_processes("gloo")
    assert os.environ["SLURM_LOCALID"] == "0"
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    distributed.join_processes("gloo")
    assert os.environ["SLURM_LOCALID"] == os.environ["LOCAL_RANK"] == "3"


def test_the_ranks_that_do_not_notice_are_named(monkeypatch):
    store = dist.HashStore()
    store.set(distributed._NOTICED.format(2), "")
    monkeypatch.setattr(dist.distributed_c10d, "_get_default_store", lambda: store)
    monkeypatch.setattr(dist, "get_world_size", lambda: 4)
    monkeypatch.setattr(dist, "get_rank", lambda: 0)
    monkeypatch.setattr(distributed, "several_processes", lambda: True)
    monkeypatch.setattr(distributed, "_A_WHILE", 0.01)
    with pytest.raises(
        TrainingError, match=r"within 0:30:00 \(timeout_minutes\); found no answer of rank 1, 3 at rank 0"
    ):
        with waiting():
            raise RuntimeError("gloo/transport/tcp/unbound_buffer.cc:78] Timed out waiting 18000ms for recv operation")
    with pytest.raises(RuntimeError, match="^out of memory$"), waiting():
        raise RuntimeError("out of memory")


@pytest.mark.slow
@pytest.mark.parametrize("kind, limit, silent", [("step", "timeout_minutes", 1), ("reading", "reading_hours", 0)])
def test_a_process_that_blocks_ends_the_run(tmp_path, kind, limit, silent):
    words = [sys.executable, "-c", BLOCKED]
    both = [subprocess.Popen([*words, str(rank), tmp_path / "store", kind], stderr=subprocess.PIPE) for rank in (0, 1)]
    said = both[1 - silent].communicate(timeout=60)[1].decode()
    both[silent].kill()
    both[silent].communicate()
    assert f"({limit}); found no answer of rank {silent} at rank {1 - silent}" in said
