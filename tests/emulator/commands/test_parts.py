"""emulator/commands/parts.py: shares of the work that together are all of it, and what a part is made of."""

from dataclasses import dataclass, replace
from itertools import chain

import pytest

from emulator.commands.errors import InputError
from emulator.commands.parts import MOST_PARTS, Part, made_of, steps


@pytest.mark.parametrize("text", ["0/4", "5/4", "3", "3/0", "-1/4", "1/2/3", "a/b", "", "1/99999", "²/4"])
def test_a_part_out_of_range_is_told_in_one_line(text):
    with pytest.raises(InputError, match=r"^config key 'part': expected a part as 3/16, .* got "):
        Part.read(text, "config key 'part'")
    assert Part.read("4/4", "it") == Part(4, 4)


@pytest.mark.parametrize("several", [1, 2, 7, 10])
def test_all_parts_together_are_all_of_the_work_once_and_none_has_nothing(several):
    shares = [part.share(range(10), "files") for part in Part.each(several)]
    assert list(chain(*shares)) == list(range(10))
    assert all(shares)
    with pytest.raises(InputError, match="part 3/11: expected at most 10 parts, one for each of the files"):
        Part(3, 11).share(range(10), "files")


@pytest.mark.parametrize("several", [1, 2, 3, 5])
def test_parts_are_whole_batches_of_each_subset(several):
    counts = {"train": 10, "val": 3, "test": 4}
    found = [part.rows(counts, batch=4) for part in Part.each(several)]
    for name, count in counts.items():
        own = [rows[name] for rows in found if name in rows]
        assert list(chain(*(range(count)[rows] for rows in own))) == list(range(count))
        assert all(rows.start % 4 == 0 and rows.stop > rows.start for rows in own)


@dataclass(frozen=True)
class Settings:
    input: str
    seed: int = 1
    part: str | None = None
    device: str = "cpu"


def test_a_part_knows_the_settings_and_the_files_that_it_was_made_of(tmp_path):
    path = tmp_path / "stars.h5"
    path.write_bytes(b"one")
    own = Settings(str(path))
    word = made_of(own, [path])
    assert made_of(replace(own, part="2/3", device="gpu"), [path]) == word
    assert made_of(replace(own, seed=2), [path]) != word
    path.write_bytes(b"other")
    assert made_of(own, [path]) != word


def test_all_parts_are_a_sweep_and_what_joins_them():
    given = ["input=a.h5", "parts=3", "hydra/launcher=joblib"]
    assert steps(given) == [["--multirun", *given, "part=1/3,2/3,3/3"], given]
    assert steps(["-m", *given]) == steps(given)
    for others in (["parts=0"], ["parts=x"], ["parts=3", "--cfg", "job"], ["part=1/3"], [f"parts={MOST_PARTS}9"]):
        assert steps(others) == [others]
