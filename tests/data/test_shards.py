"""A list in parts: each record in exactly one, and what is said of parts that are missing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgenesis.data.shards import Shard, all_shards, parse_shard, shard_folder


@given(st.integers(0, 40), st.integers(1, 50))
def test_each_record_is_in_exactly_one_part_and_parts_are_of_one_size(count, of):
    parts = [Shard(number, of).places(count) for number in range(1, of + 1)]
    assert sorted(place for part in parts for place in part) == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "-1/3", "1/0", "1/3/5", "merged", ""])
def test_what_is_no_part(text):
    with pytest.raises(ValueError, match="shard: must be I/N"):
        parse_shard(text)


def test_what_is(tmp_path):
    assert (parse_shard(None), parse_shard("merge"), parse_shard("2/14")) == (None, "merge", Shard(2, 14))
    assert shard_folder(tmp_path, None) == shard_folder(tmp_path, "merge") == tmp_path
    assert shard_folder(tmp_path, "2/14") == tmp_path / "shards" / "2_of_14"


def test_missing_parts_are_named(tmp_path):
    with pytest.raises(ValueError, match="must hold the parts of one division; found none"):
        all_shards(tmp_path)
    for number in (1, 3):
        shard_folder(tmp_path, f"{number}/4").mkdir(parents=True)
    (tmp_path / "shards" / "some_of_mine").mkdir()
    with pytest.raises(ValueError, match=r"all 4 parts .* found no 2/4, 4/4\. Run --shard 2/4"):
        all_shards(tmp_path)
    for number in (2, 4):
        shard_folder(tmp_path, f"{number}/4").mkdir()
    assert [str(shard) for shard, _ in all_shards(tmp_path)] == ["1/4", "2/4", "3/4", "4/4"]
    shard_folder(tmp_path, "1/2").mkdir()
    with pytest.raises(ValueError, match="found parts of 2 and parts of 4"):
        all_shards(tmp_path)
