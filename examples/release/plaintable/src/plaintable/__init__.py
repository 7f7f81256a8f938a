"""Tables of text, aligned also where letters are wide; to Markdown and back."""

from plaintable.table import TableError, parse_markdown, render
from plaintable.width import pad, width

__all__ = ["TableError", "pad", "parse_markdown", "render", "width"]
