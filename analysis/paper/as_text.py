"""A table of the paper as plain text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from analysis.paper.cells import SYMBOL, Block
from analysis.paper.table import PaperTable, role_of
from analysis.paper.wording import (
    Footnotes,
    chance_line,
    column_groups,
    common_differences,
    footnotes_of,
    line_cells,
    remarks,
    seeds_of,
)

_WIDTH = 128


def as_text(table: PaperTable) -> str:
    """The table for a terminal of 130 columns."""
    marks, everywhere = Footnotes(), common_differences(table)
    lines = [table.title, f"{f'profile {table.profile}' if table.profile else 'no study of its spaces'} in {table.store}"]
    rows = [
        (block, line, line_cells(line), footnotes_of(line, everywhere, marks)) for block in table.blocks for line in block.lines
    ]
    name_width = max([len(line.name) for _, line, _, _ in rows] + [len("setting")])
    last: str | None = None
    for block in table.blocks:
        here = [row for row in rows if row[0] is block]
        if block.protocol.name != last:
            lines += ["", *_wrapped(f"{block.protocol.says} [{block.protocol.name}; space {block.space}]")]
            notes = (chance_line(block), *(f"note: {note}" for note in block.protocol.notes))
            lines += [line for text in notes if text for line in _wrapped(text)]
            last = block.protocol.name
        if block.classifier:
            lines += [
                "",
                f"{SYMBOL[role_of(block)]} {block.classifier.text}" + ("" if block.is_printed else ", which the paper has not"),
            ]
        lines += _text_block(
            block, [(line.name, cells, seeds_of(line), letters) for _, line, cells, letters in here], name_width
        )
    lines.append("")
    for text in remarks(table):
        lines += _wrapped(text)
    for text, letter in marks.letters.items():
        lines += _wrapped(f"{letter}: {text}")
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _text_block(block: Block, rows: Sequence[tuple[str, list[list[str]], str, str]], name_width: int) -> list[str]:
    groups = column_groups(block)
    widths = [
        [max(len(head), *(len(cells[g][i]) for _, cells, _, _ in rows)) for i, head in enumerate(heads)]
        for g, (_, heads) in enumerate(groups)
    ]
    spans = [max(sum(width) + len(width) - 1, len(title)) for (title, _), width in zip(groups, widths, strict=True)]

    def line(name: str, parts: Iterable[str], n: str, letters: str) -> str:
        middle = " | ".join(part.ljust(span) for part, span in zip(parts, spans, strict=True))
        return f"{name.ljust(name_width)} | {middle} | {n:>3} {letters}"

    def joined(texts: Sequence[str], width: Sequence[int]) -> str:
        return " ".join(text.rjust(size) for text, size in zip(texts, width, strict=True))

    head = [
        line("", [title for title, _ in groups], "", ""),
        line("setting", [joined(heads, width) for (_, heads), width in zip(groups, widths, strict=True)], "n", "notes"),
    ]
    body = [
        line(name, [joined(texts, width) for texts, width in zip(cells, widths, strict=True)], n, letters)
        for name, cells, n, letters in rows
    ]
    return [*head, "-" * max(len(text.rstrip()) for text in (*head, *body)), *body]


def _wrapped(text: str) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        if lines[-1].strip() and len(lines[-1]) + 1 + len(word) > _WIDTH:
            lines.append("   " + word)
        else:
            lines[-1] += (" " if lines[-1] else "") + word
    return lines
