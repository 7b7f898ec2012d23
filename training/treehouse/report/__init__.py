"""One HTML page about a model, for people: a file of its own that needs nothing else.

`subject` says which version and rows, `quality`, `features` and `life` ask the engine, `summary`
puts it into words, `render` draws it. A section without data says why.

May import experiments, monitor, tune and what lies below them.
"""

from treehouse.report.render import Page, write_page

__all__ = ["Page", "write_page"]
