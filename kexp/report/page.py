"""The page around the sections: its head, contents, style and the few lines of script, all inside the file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from html import escape
from importlib.metadata import version
from pathlib import Path

from kexp.report.markup import Html, anchor, text

HERE = Path(__file__).parent


def page(name: str, head: Html, sections: Mapping[str, Html]) -> str:
    """The whole document: `head`, then the `sections` by title, with a list of them."""
    style = (HERE / "style.css").read_text(encoding="utf-8")
    script = (HERE / "script.js").read_text(encoding="utf-8").strip()
    links = "".join(f'<a href="#{anchor(title)}">{text(title)}</a>' for title in sections)
    body = "\n".join(
        f'<section id="{anchor(title)}"><h2>{text(title)}</h2>\n{content}</section>'
        for title, content in sections.items()
    )
    # Nothing can be loaded, and no script but ours runs, whatever text of a user stands in the page.
    hashed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{hashed}'"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="kexp {version("kexp")}">
<title>{escape(name)} - kexp report</title>
<style>
{style}</style>
</head>
<body>
<main>
{head}
<nav aria-label="Contents">{links}</nav>
{body}
<footer>Written by kexp {version("kexp")}. This file loads nothing and sends nothing.</footer>
</main>
<script>{script}</script>
</body>
</html>
"""
