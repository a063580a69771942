"""Any text, made safe for a page."""

import html


def escape(text: object) -> str:
    """Return `text` for HTML, in elements and in attributes alike."""
    # A file name that is not UTF-8 reaches Python as lone surrogates, which no file can be written with.
    return html.escape(str(text).encode("utf-8", "replace").decode())
