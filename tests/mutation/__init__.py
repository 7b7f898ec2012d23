"""Mutation testing: a deliberate error at a time, and whether the tests notice.

`./treehouse mutate`. `targets.toml` says which files are changed and which tests must notice;
`python.py` and `sql.py` make the errors, `run.py` tries them on copies of the tree.
"""
