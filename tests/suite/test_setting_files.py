"""Files of known settings: what is written is read back, and wrong files are named."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from normbench import read_settings
from normbench.setting_files import file_name, is_of, read_folder, setting_text

ORIGIN = {"kind": "known", "source": "x", "tuned_on": "y", "budget": "8 trials", "seeds": 1}
CELL = {"problem": "p", "norm": "n", "optimizer": "o", "protocol": "q"}
SCALARS = (
    st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(lambda t: t != "null")
    | st.none()
)
VALUES = st.dictionaries(
    st.from_regex(r"[a-z_]{1,8}", fullmatch=True),
    SCALARS | st.lists(SCALARS, max_size=3).map(tuple),
    max_size=4,
)


@given(VALUES)
@settings(max_examples=60, deadline=None)
@example({"name": '\x7f\x00\n"\\\u2028', "none": None, "items": (1, None, "é")})
def test_values_survive_the_file(values):
    """Every value, null and text of any kind included, comes back as it was."""
    text = setting_text(ORIGIN, [{**CELL, "values": values}])
    (setting,) = read_settings(SimpleNamespace(read_text=lambda encoding: text))

    assert (values, "known") == (setting.values, setting.origin)


def test_cell_of_a_setting_survives_the_file(tmp_path):
    """Norm parameters, ablation and changed rules are part of what it is for."""
    cell = {
        **CELL,
        "norm_parameters": {"num_groups": 4},
        "ablation": {"sites": [0, 1]},
        "rules": ["protocol.epochs=2"],
    }
    path = tmp_path / "one.toml"
    path.write_text(setting_text(ORIGIN, [{**cell, "values": {"lr": 0.1}}]), encoding="utf-8")
    ((setting,), damaged) = read_folder(tmp_path)

    assert [] == damaged
    assert ({"num_groups": 4}, {"sites": (0, 1)}, ("protocol.epochs=2",)) == (
        setting.norm_parameters,
        setting.ablation,
        setting.rules,
    )
    assert "x; y; 8 trials, 1 seed" == setting.source


@pytest.mark.parametrize("text", ["[origin", "a = 1", "[[setting]]\nproblem = 1", "setting = 3"])
def test_wrong_file_is_named(tmp_path, text):
    """A file that is damaged or something else is told by its path; the others are read."""
    (tmp_path / "wrong.toml").write_text(text, encoding="utf-8")
    (tmp_path / "z.toml").write_text(setting_text(ORIGIN, [{**CELL, "values": {}}]))
    (found, (error,)) = read_folder(tmp_path)

    assert 1 == len(found)
    assert tmp_path / "wrong.toml" == error.file
    assert f"{error.file} holds no known settings that this version reads (" in str(error)


def test_the_name_of_a_file_tells_its_cell():
    """Another cell of the same names has the same beginning; a longer name is another cell's."""
    names = ("p:x", "n", "o", "q")
    path = Path(file_name(names, "0123456789abcdef"))

    assert "p-x-n-o-q-01234567.toml" == path.name
    assert is_of(path, names)
    assert not is_of(path, ("p:x", "n", "o"))
    assert not is_of(path, (*names, "01234567"))
    assert not is_of(Path("p-x-n-o-q-other-01234567.toml"), names)


def test_missing_folder_holds_none(tmp_path):
    """A store in which nothing was tuned has no such folder."""
    assert ([], []) == read_folder(tmp_path / "none")
