"""Reports as Markdown, and as self-contained HTML pages with pictures and audio players."""

from __future__ import annotations

import base64
import html
import io
import wave
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Section:
    """One part of a report: a heading, sentences, and a table or list.

    Attributes:
        heading: its heading.
        lines: one paragraph each.
        header: names of the table's columns; empty without a table.
        rows: of the table.
    """

    heading: str
    lines: Sequence[str] = ()
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


@dataclass(frozen=True)
class ReportedUtterance:
    """An utterance in a report: caption, PNG picture and WAV sound."""

    caption: str
    picture: bytes
    sound: bytes


def wav_bytes(waveform: np.ndarray, sample_rate: int) -> bytes:
    """Return (T_wav,) int16 as the bytes of a WAV file."""
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(waveform.astype("<i2").tobytes())
    return content.getvalue()


def markdown(title: str, sections: Iterable[Section]) -> str:
    """Return a report as Markdown."""
    lines = [f"# {title}", ""]
    for section in sections:
        lines += [f"## {section.heading}", ""]
        for line in section.lines:
            lines += [line, ""]
        if section.header:
            lines.append(_markdown_row(section.header))
            lines.append(_markdown_row(["---"] * len(section.header)))
            lines += [_markdown_row(row) for row in section.rows]
            lines.append("")
    return "\n".join(lines)


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


VIEWPORT = '<meta name="viewport" content="width=device-width, initial-scale=1">'
"""For the head of a document that telephones show, too."""
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 1040px; margin: 2em auto;
  padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; }
table { border-collapse: collapse; } th, td { text-align: left; padding: .2em 1.2em .2em 0;
  border-bottom: 1px solid #ddd; vertical-align: top; overflow-wrap: anywhere; }
th { font-weight: 600; color: #555; }
figure { margin: 2em 0; } figcaption { margin-bottom: .4em; } figure div { overflow-x: auto; }
audio { display: block; width: 100%; }
"""


def html_document(
    title: str, body: str, style: str, *, script: str = "", head: Sequence[str] = (), attributes: str = ""
) -> str:
    """Return a self-contained HTML document.

    Args:
        title: shown by the browser.
        body: HTML.
        style: CSS.
        script: JavaScript that runs after the body.
        head: further elements of the head.
        attributes: further ones of the root element.
    """
    lines = ["<!DOCTYPE html>", f'<html lang="en"{attributes}>', "<head>", '<meta charset="utf-8">', *head]
    lines += [f"<title>{html.escape(title)}</title>", f"<style>{style}</style>", "</head>", "<body>", body]
    if script:
        lines.append(f"<script>{script}</script>")
    return "\n".join([*lines, "</body>", "</html>", ""])


def html_page(
    title: str, sections: Iterable[Section], shown: Iterable[ReportedUtterance], *, gallery: str, gallery_note: str
) -> str:
    """Return a report as a self-contained HTML page.

    Args:
        title: of the page.
        sections: its parts.
        shown: utterances after them.
        gallery: heading of the utterances.
        gallery_note: first paragraph under it.
    """
    parts = [f"<h1>{html.escape(title)}</h1>"]
    for section in sections:
        parts.append(f"<h2>{html.escape(section.heading)}</h2>")
        parts += [f"<p>{html.escape(line)}</p>" for line in section.lines]
        if section.header:
            rows = [_html_row("th", section.header), *(_html_row("td", row) for row in section.rows)]
            parts.append("<table>\n" + "\n".join(rows) + "\n</table>")
    for number, each in enumerate(shown):
        if number == 0:
            parts.append(f"<h2>{html.escape(gallery)}</h2>\n<p>{html.escape(gallery_note)}</p>")
        picture, sound = (base64.b64encode(content).decode("ascii") for content in (each.picture, each.sound))
        parts.append(
            f"<figure>\n<figcaption>{html.escape(each.caption)}</figcaption>\n"
            f'<div><img alt="waveform and mel" src="data:image/png;base64,{picture}"></div>\n'
            f'<audio controls preload="none" src="data:audio/wav;base64,{sound}"></audio>\n</figure>'
        )
    return html_document(title, "\n".join(parts), _STYLE)


def _html_row(cell: str, values: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{cell}>{html.escape(value)}</{cell}>" for value in values) + "</tr>"
