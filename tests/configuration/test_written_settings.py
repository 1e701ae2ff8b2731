"""A whole configuration file with anything in it: settings, or errors that name the key or the line."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import supervisor
from configuration.yaml_text import read_yaml
from settings import PROJECT, Settings, SettingsError, load_raw, parse_settings

SHIPPED = (PROJECT / "config.yaml").read_text(encoding="utf-8")


def read(text: str, tmp_path: Path) -> Settings:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return parse_settings(load_raw(path), "config.yaml")


def refusal(text: str, tmp_path: Path) -> str:
    with pytest.raises(SettingsError) as raised:
        read(text, tmp_path)
    return str(raised.value)


@pytest.mark.parametrize(
    ("old", "new", "logged"),
    [
        ("base: BTC", "base: 1000", "pairs[0].base is 1000: must be text, and is read as something else"),
        ("id: btc", "id: null", "pairs[0].id is None: must be text"),
        ("id: btc", "id: 1e3", "write it in quotes"),
        ("bot_id: demo", "bot_id: 2026-11-30x_", "bot_id is '2026-11-30x_'"),
        ("stagger: false", "stagger: off", "execution.stagger is 'off': must be true or false"),
        ("stagger: false", "stagger: no", "must be true or false"),
        ("max_retries: 3", "max_retries: 017", "execution.max_retries is '017': must be a number"),
        ("cooldown_ms: 500", "cooldown_ms: 4:30", "must be a number such as 1500"),
        ("cooldown_ms: 500", "cooldown_ms: 1_000", "must be a number such as 1500"),
        ("cooldown_ms: 500", "cooldown_ms: .nan", "must be a finite number"),
        ("cooldown_ms: 500", "cooldown_ms: 1e999", "must be a finite number"),
        ("cooldown_ms: 500", "cooldown_ms: " + "9" * 400, "has more digits than any number here"),
        ("cooldown_ms: 500", "cooldown_ms: !!int x", "tags are not read here"),
        ('size_base: "0.02"', "size_base: 2026-02-30", "pairs[0].size_base is '2026-02-30'"),
        ('size_base: "0.02"', 'size_base: "1e999999"', "pairs[0].size_base"),
        ('size_base: "0.02"', 'size_base: "1_0"', "pairs[0].size_base"),
        ('size_base: "0.02"', 'size_base: "٣"', "pairs[0].size_base"),
        ("mode: sim", "mode: [[[[[[[[[[[[[[[[[[[[[[[[[[[[", "nested"),
        ("mode: sim", "mode: sim\nmode: sim", "'mode' is given twice (line"),
        ("entry_bps: 1.5 ", "entry_bps: 0 ", "pairs[0].strategy.entry_bps is 0"),
        ("entry_bps: 1.5 ", "entry_bps: -3 ", "pairs[0].strategy.entry_bps is -3"),
    ],
)
def test_what_is_wrong_is_named_with_its_key_or_line(old: str, new: str, logged: str, tmp_path: Path) -> None:
    assert old in SHIPPED

    assert logged in refusal(SHIPPED.replace(old, new, 1), tmp_path)


def test_a_word_that_yaml_takes_for_something_else_is_kept(tmp_path: Path) -> None:
    text = SHIPPED.replace("base: BTC", "base: NO", 1).replace("id: btc", "id: off", 1)
    text = text.replace('utc: "04:25-04:50"', "utc: 04:25-04:50")
    text = text.replace("bot_id: demo", "bot_id: 017")

    kept = read(text, tmp_path)

    assert (kept.bot_id, kept.pairs[0].id, kept.pairs[0].base) == ("017", "off", "NO")
    assert kept.venues["paradex"].maintenance[0].utc == "04:25-04:50"


def test_values_and_what_is_between_them_are_listed_together(tmp_path: Path) -> None:
    """Whoever corrects one line has not to find the next one by a second start."""
    text = SHIPPED.replace("entry_bps: 1.5 ", "entry_bps: 0 ").replace("layers: 1 ", "layers: 3 ")
    text = text.replace('size_base: "0.02"', 'size_base: "0"').replace("mode: sim", "mode: real")
    text = text.replace(
        "strategy: {entry_bps: 3.0, exit_bps: 1.8}", "strategy: {entry_bps: 1.0, exit_bps: 1.8}"
    )

    logged = refusal(text, tmp_path)

    for key in ("mode", "pairs[0].size_base", "pairs[0].strategy.entry_bps"):
        assert f"\n  {key} is " in logged
    assert "pairs[0].strategy: layers above 1 need entry_max_bps" in logged
    assert "pairs[1].strategy: entry_bps 1 must be above exit_bps 1.8" in logged


@pytest.mark.parametrize(
    ("content", "logged"),
    [
        ("# für\n".encode("iso8859-1"), "is not UTF-8 (line 1): save it as UTF-8"),
        (SHIPPED.encode("utf-16"), "is not UTF-8 (line 1)"),
        (SHIPPED.encode("utf-16-le"), "line 1"),
        (SHIPPED.encode() + b"\0", "U+0000"),
    ],
)
def test_a_file_of_another_encoding_says_so(content: bytes, logged: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(content)

    with pytest.raises(SettingsError) as raised:
        parse_settings(load_raw(path), "config.yaml")

    assert logged in str(raised.value)


def test_a_byte_order_mark_is_no_key(tmp_path: Path) -> None:
    assert read("\ufeff" + SHIPPED, tmp_path).mode == "sim"


def test_what_a_program_dumped_is_read_back(tmp_path: Path) -> None:
    """Dumpers make anchors of what occurs twice."""
    raw = read_yaml(SHIPPED)
    raw["pairs"][0]["strategy"] = raw["pairs"][1]["strategy"]
    text = yaml.safe_dump(raw)
    assert "*id001" in text

    assert parse_settings(read_yaml(text), "t").pairs[0].strategy.entry_bps == 3.0


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a tree, itself included."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


PLACES = places(read_yaml(SHIPPED))
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["1e999999", "NaN", "0", "-1", "vest:X", "auto", "://a@b", "9" * 60, "\ufffd"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["vest", "id", "legs", "x"]), inner)
    ),
    max_leaves=5,
)


@given(st.lists(st.tuples(st.sampled_from(PLACES), ANYTHING), min_size=1, max_size=3))
def test_any_value_at_any_place_is_settings_or_problems(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    raw = read_yaml(SHIPPED)
    for path, value in changes:
        if not path:
            raw = value
            continue
        *outer, last = path
        place = raw
        try:
            for key in outer:
                place = place[key]
            place[last] = copy.deepcopy(value)
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change has put something else there

    try:
        reported = str(parse_settings(raw, "t").model_dump())
    except SettingsError as error:
        reported = str(error)

    assert reported


def test_paths_of_the_command_line_are_those_of_where_it_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = supervisor._parse_arguments(["--config", "c.yaml", "--env-file", "../keys.env"])
    monkeypatch.chdir("/")

    assert arguments.config == tmp_path / "c.yaml"
    assert arguments.env_file == tmp_path / "../keys.env"
    assert supervisor._parse_arguments([]).env_file == PROJECT / ".env"


def test_a_directory_that_is_gone_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    with pytest.raises(SystemExit) as ended:
        supervisor._parse_arguments(["--env-file", "keys.env"])

    assert ended.value.code == 2
    assert "give an absolute path" in capsys.readouterr().err


def test_a_relative_memory_directory_is_one_for_everybody(tmp_path: Path) -> None:
    memory = read(SHIPPED.replace("memory_dir: /dev/shm", "memory_dir: memory"), tmp_path).runtime.memory_dir

    assert memory == str(PROJECT / "memory")
