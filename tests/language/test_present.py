"""A fault as a person sees it: place, reason, the line with a caret below the word, the corrected line."""

from engine.language.present import Paint, present, present_all
from engine.language.problem import Problem

TEXT = "name: T\nif:\n  order.total: > 200\n"
FAULT = Problem("big-order.yaml", 3, 16, "error", "write `more than 200`", "order.total: more than 200")


def test_a_fault_is_shown_with_its_line_and_a_caret_below_the_place() -> None:
    assert present(FAULT, TEXT) == (
        "big-order.yaml:3:16: write `more than 200`\n"
        "    3 |   order.total: > 200\n"
        "      |                ^\n"
        "      → order.total: more than 200"
    )


def test_without_the_files_text_or_on_an_empty_line_only_the_reason_and_the_remedy_are_shown() -> None:
    bare = "big-order.yaml:3:16: write `more than 200`\n      → order.total: more than 200"
    assert present(FAULT) == bare
    assert present(FAULT, "name: T\n\n   \n") == bare
    assert present(FAULT, "name: T") == bare


def test_a_warning_and_a_note_say_what_they_are() -> None:
    assert present(Problem("a.yaml", 1, 1, "warning", "look")) == "a.yaml:1:1: warning: look"
    assert present(Problem("a.yaml", 1, 1, "note", "read so")) == "a.yaml:1:1: note: read so"


def test_a_remedy_of_several_lines_keeps_its_shape() -> None:
    fault = Problem("a.yaml", 1, 3, "error", "empty", "- slack:\n    channel: ops")
    assert present(fault).splitlines()[1:] == ["      → - slack:", "            channel: ops"]


def test_the_caret_stands_below_the_word_behind_wide_letters_accents_and_a_mark_at_the_files_start() -> None:
    wide = present(Problem("a.yaml", 1, 9, "error", "here"), "text: 日本#1\n").splitlines()
    assert wide[2] == "      | " + " " * 10 + "^"
    accent = present(Problem("a.yaml", 1, 9, "error", "here"), "text: e\u0301#1\n").splitlines()
    assert accent[2] == "      | " + " " * 7 + "^"
    marked = present(Problem("a.yaml", 1, 1, "error", "here"), "\ufeffname: x").splitlines()
    assert marked[1:] == ["    1 | name: x", "      | ^"]


def test_lines_are_counted_alike_whatever_ends_them() -> None:
    fault = Problem("a.yaml", 2, 1, "error", "here")
    assert "    2 | b: 2" in present(fault, "a: 1\r\nb: 2\r\n")
    assert "    2 | b: 2" in present(fault, "a: 1\rb: 2\r")
    assert "    2 | b:\N{REPLACEMENT CHARACTER}2" in present(fault, "a: 1\nb:\u20282\n")


def test_a_long_line_is_cut_around_the_place() -> None:
    text = "text: " + "a" * 300 + " #b " + "c" * 300
    lines = present(Problem("a.yaml", 1, 308, "error", "here"), text).splitlines()
    assert lines[1].startswith("    1 | …aaa")
    assert lines[1].endswith("ccc…")
    assert len(lines[1]) == len("    1 | ") + 100
    assert lines[1][lines[2].index("^")] == "#"


def test_a_place_behind_the_line_points_to_its_end() -> None:
    assert present(Problem("a.yaml", 1, 99, "error", "here"), "a: b").splitlines()[2] == "      |     ^"


def test_nothing_of_a_file_can_colour_or_move_the_terminal() -> None:
    fault = Problem("a\x1b.yaml", 1, 1, "error", "\x1b[31mred", "\x07bell")
    shown = present(fault, "\x1b[2Jname:\tx\u202ey")
    assert not set(shown) & {"\x1b", "\x07", "\t", "\u202e"}
    assert "name:→x" in shown


def test_faults_come_in_the_order_of_files_and_lines_with_a_blank_line_between() -> None:
    faults = [
        Problem("b.yaml", 1, 1, "error", "three"),
        Problem("a.yaml", 9, 1, "error", "two"),
        Problem("a.yaml", 2, 1, "error", "one"),
    ]
    assert present_all(faults, {}) == "a.yaml:2:1: one\n\na.yaml:9:1: two\n\nb.yaml:1:1: three"


def test_each_part_is_coloured_as_it_was_handed_in() -> None:
    paint = Paint(
        place=lambda text: f"<place {text}>",
        error=lambda text: f"<error {text}>",
        frame=lambda text: f"<frame {text}>",
        hint=lambda text: f"<hint {text}>",
    )
    assert present(FAULT, TEXT, paint).splitlines() == [
        "<place big-order.yaml:3:16:> <error write `more than 200`>",
        "<frame     3> <frame |>   order.total: > 200",
        "      <frame |>                <error ^>",
        "      <frame →> <hint order.total: more than 200>",
    ]
