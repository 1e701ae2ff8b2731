"""Text stays text, and nothing that a file can hold ends in an error of the library's own."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configuration.yaml_text import YamlError, read_yaml

TEXTS = [
    *("on", "off", "yes", "no", "NO", "Yes", "y", "n", "On"),
    *(
        "017",
        "0o17",
        "0x1F",
        "0b11",
        "4:30",
        "190:20:30",
        "1_000",
        "1_0.5",
        "08",
        "-017",
        "00",
        "+",
        ".",
    ),
    *("2026-11-30", "2026-11-30 10:00:00", "2026-13-45", "2026-02-30T00:00:00Z", "99999-01-01"),
    *("=", "1e", "e3", "1.2.3", "nan", "inf", "infinity", "NULL_", "True_", "None", "1,000"),
]


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_no_number_is_the_text_that_is_written(text: str) -> None:
    assert read_yaml(f"key: {text}") == {"key": text}


@pytest.mark.parametrize(
    "key", [*(text for text in TEXTS if "," not in text), "null", "~", "true", "1", "1.5", ".inf"]
)
def test_a_key_is_the_text_that_is_written(key: str) -> None:
    assert read_yaml(f"{key}: 1") == {key: 1}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("null", None), ("~", None), ("", None), ("true", True), ("False", False), ("0", 0), ("-12", -12)),
        *(("1.5", 1.5), ("-0.5", -0.5), (".5", 0.5), ("3.", 3.0), ("1e3", 1_000.0), ("1.5E-3", 0.0015)),
        *((".inf", math.inf), ("-.INF", -math.inf), ("1e999", math.inf)),
        *(
            ('"1"', "1"),
            ("'on'", "on"),
            ("!!str 5", "5"),
            ("! 5", "5"),
            ('"\\u20ac"', "€"),
            ("[a, 1]", ["a", 1]),
        ),
    ],
)
def test_words_numbers_and_quoted_texts_are_read_as_everywhere(text: str, value: object) -> None:
    assert read_yaml(f"key: {text}") == {"key": value}


def test_lists_mappings_comments_and_blocks_are_yaml() -> None:
    text = "\ufeff# a\na: {b: [1, two]}\nc:\n  - x: 1\n    y: folded\n      text\n"

    assert read_yaml(text) == {"a": {"b": [1, "two"]}, "c": [{"x": 1, "y": "folded text"}]}
    assert read_yaml("") is None
    assert read_yaml("--- 5\n...\n") == 5


def test_anchors_aliases_and_merges_work_and_share_nothing() -> None:
    text = (
        "base: &b {entry: 1, exit: 0}\nlist: [*b, *b]\nown: {<<: *b, exit: 2}\nboth: {<<: [{entry: 9}, *b]}"
    )
    read = read_yaml(text)

    assert read["own"] == {"entry": 1, "exit": 2}
    assert read["both"] == {"entry": 9, "exit": 0}
    assert read["list"] == [read["base"]] * 2
    assert read["list"][0] is not read["list"][1]


@pytest.mark.parametrize(
    ("text", "line", "named"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "'a' is given twice"),
        ("on: 1\n'on': 2\n", 2, "'on' is given twice"),
        ("a: 1\nb: [1, 2\n", 3, "expected"),
        ("a:\n\t- b\n", 2, "\\t"),
        ("a: 1\nb: \x00\n", 2, "U+0000"),
        ("a: 1\nb: \x1b[2J\n", 2, "U+001B"),
        ('a: 1\nb: "\\e[2J"\n', 2, "not seen"),
        ('a: "\\ud800"\n', 1, "not seen"),
        ("a: x\u202ey\n", 1, "not seen"),
        ("a: |\n  one\n  two\n", 1, "line break"),
        ('a: 1\nb: "\\UFFFFFFFF"\n', 2, "names no character"),
        ("a: " + "9" * 5_000 + "\n", 1, "more digits"),
        ("a: " + "[" * 1_000 + "\n", 1, "nested"),
        ("a: " + "[" * 100_000 + "]" * 100_000 + "\n", 1, "nested"),
        ("\n".join(" " * n + f"k{n}:" for n in range(200)), 25, "nested"),
        ("a: !!python/object/apply:os.system [id]\n", 1, "tag"),
        ("a: !!timestamp 2026-13-45\n", 1, "tag"),
        ("a: !!int x\n", 1, "tag"),
        ("a: !mine {b: 1}\n", 1, "tag"),
        ("!!int 1: 2\n", 1, "a key must be a text"),
        ("? [a]\n: 1\n", 1, "a key must be a text"),
        ("{a: 1}: 2\n", 1, "a key must be a text"),
        ("a: *nowhere\n", 1, "*nowhere"),
        ("a: &x [*x]\n", 1, "*x"),
        ("a: {<<: 5}\n", 1, "<<"),
        ("a: 1\n---\nb: 2\n", 2, "second document"),
        ("%YAML 3.0\n---\na: 1\n", 1, "version"),
        ("a: 'x\n", 2, "quoted"),
    ],
)
def test_what_is_wrong_has_a_line(text: str, line: int, named: str) -> None:
    with pytest.raises(YamlError) as raised:
        read_yaml(text)

    assert (raised.value.line, named in raised.value.detail) == (line, True), str(raised.value)
    assert str(raised.value).isprintable()


def test_aliases_that_grow_without_end_are_refused() -> None:
    """Ten lines of ten aliases each are ten thousand million values to whoever walks through them."""
    wide = "a0: &a0 [x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 11)
    )
    deep = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 3_000))

    with pytest.raises(YamlError, match="more than"):
        read_yaml(wide)
    with pytest.raises(YamlError, match="nested"):
        read_yaml(deep)


PIECES = st.sampled_from(
    [
        *(
            *TEXTS,
            "a",
            "9" * 30,
            "x" * 200,
            "\x00",
            "\ufeff",
            "\x85",
            "\ud800",
            "\\",
            "'",
            '"',
            "#",
            "|",
            ">",
        ),
        *(
            ":",
            ": ",
            "- ",
            "? ",
            "\n",
            "\n  ",
            "  ",
            "\t",
            "{",
            "}",
            "[",
            "]",
            ",",
            "&x ",
            "*x",
            "<<",
            "!!int ",
        ),
        *("!", "%", "@", "`", "---\n", "...\n"),
    ]
)


def is_plain_value(value: Any) -> bool:
    match value:
        case dict():
            return all(isinstance(key, str) and is_plain_value(item) for key, item in value.items())
        case list():
            return all(map(is_plain_value, value))
    return value is None or type(value) in (str, int, float, bool)


@given(st.one_of(st.lists(PIECES, max_size=30).map("".join), st.text(max_size=80)))
def test_any_text_is_values_or_one_error(text: str) -> None:
    try:
        value = read_yaml(text)
    except YamlError as error:
        value, line = None, error.line
    else:
        line = 1

    assert is_plain_value(value)
    assert 1 <= line <= len(text.splitlines()) + 2
