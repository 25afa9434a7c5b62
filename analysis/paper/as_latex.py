"""A table of the paper as LaTeX."""

from __future__ import annotations

from analysis.paper.cells import SYMBOL
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


def as_latex(table: PaperTable) -> str:
    """A `tabular` for each block, for the packages booktabs and inputenc; below them the notes as a list."""
    marks, everywhere = Footnotes(), common_differences(table)
    parts = [f"% {table.title}; needs \\usepackage{{booktabs}}"]
    for block in table.blocks:
        groups = column_groups(block)
        parts += [
            r"\begin{table}\footnotesize",
            rf"\caption{{{escaped(f'{table.title}. {block.protocol.says}')}"
            + (rf"; {escaped(f'{SYMBOL[role_of(block)]} {block.classifier.text}')}" if block.classifier else "")
            + (rf". {escaped(chance_line(block))}" if chance_line(block) else "")
            + "}",
            rf"\begin{{tabular}}{{l{'r' * sum(len(heads) for _, heads in groups)}r}}",
            r"\toprule",
            "".join(rf" & \multicolumn{{{len(heads)}}}{{c}}{{{escaped(title)}}}" for title, heads in groups) + r" & \\",
            "setting" + "".join(f" & {escaped(head)}" for _, heads in groups for head in heads) + r" & $n$ \\",
            r"\midrule",
        ]
        for line in block.lines:
            letters = footnotes_of(line, everywhere, marks)
            name = escaped(line.name) + (rf"\textsuperscript{{{letters}}}" if letters else "")
            cells = [escaped(text) for texts in line_cells(line) for text in texts]
            parts.append(" & ".join([name, *cells, seeds_of(line)]) + r" \\")
        parts += [r"\bottomrule", r"\end{tabular}", r"\end{table}", ""]
    notes = [f"{note}" for note in dict.fromkeys(note for block in table.blocks for note in block.protocol.notes)]
    items = [*remarks(table), *notes, *(f"{letter}: {text}" for text, letter in marks.letters.items())]
    parts += [r"\begin{itemize}", *(rf"\item {escaped(text)}" for text in items), r"\end{itemize}", ""]
    return "\n".join(parts)


def escaped(text: str) -> str:
    """Text as LaTeX prints it."""
    special = {
        "\\": r"\textbackslash{}",
        "±": r"$\pm$",
        "−": "$-$",
        "–": "--",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": "$<$",
        ">": "$>$",
    }
    special |= {char: f"\\{char}" for char in "&%$#_{}"}
    return "".join(special.get(char, char) for char in text)
