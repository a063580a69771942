"""Work that one process of a machine does for all; two processes are tried in test_two_processes_a_node.py."""

import pytest

from medgenesis.distributed import once_a_node, several_processes


def test_without_a_group_the_work_is_just_done():
    assert not several_processes()
    assert once_a_node(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        once_a_node(lambda: 1 / 0)
