"""Markdown tables."""

from service.tables import markdown_table


def test_a_table_has_a_head_a_rule_and_rows() -> None:
    assert markdown_table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n"


def test_a_pipe_does_not_end_a_cell() -> None:
    assert markdown_table(["a"], [["x|y"]]).endswith("| x\\|y |\n")
