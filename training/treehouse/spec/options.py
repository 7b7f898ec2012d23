"""Parameters of the trainers, with what each is for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Boosting:
    """Of LightGBM and XGBoost alike; the defaults are the usual starting point."""

    trees: int = 1000
    """At most; early stopping takes what the validation rows ask for. More is slower to score."""
    learning_rate: float = 0.05
    """Lower needs more trees and is a little more accurate."""
    depth: int = 7
    """Most splits on a path. The scorer is fastest up to 8."""
    leaves: int = 127
    """Most leaves of a tree; 2^depth at the most."""
    rows_per_leaf: int = 20
    """Fewest training rows of a leaf. Higher is smoother."""
    row_share: float = 0.8
    """Share of the rows that each tree sees."""
    column_share: float = 0.8
    """Share of the features that each tree sees."""
    l2: float = 0.0
    """Ridge penalty on a leaf's value, in rows. Higher is smoother."""
    patience: int = 50
    """Trees without improvement on the validation rows before fitting stops."""
    seed: int = 7
    """Of every random choice: equal data and spec give an equal model."""


@dataclass(frozen=True)
class Bagging:
    """Of random forests and extremely randomised trees."""

    trees: int = 200
    """More is never less accurate, but slower to score and larger."""
    depth: int = 12
    """Most splits on a path. Deep trees are scored more slowly."""
    rows_per_leaf: int = 20
    """Fewest training rows of a leaf. Higher is smoother, and the model smaller."""
    column_share: float = 0.4
    """Share of the features among which each split chooses."""
    seed: int = 7
    """Of every random choice."""


@dataclass(frozen=True)
class Chain:
    """Of the Markov chain over sequences, from which the networks go on."""

    within: tuple[str, ...] = ()
    """Categories that part the sequences, as a dashboard does: each has a chain of its own."""
    order: int = 2
    """Latest tokens that it goes by. More is larger, and learns from more rows."""
    prior_rows: float = 1.0
    """Rows that what followed one token less counts for. Higher is smoother."""
    contexts: int = 2000
    """Most contexts of each length, the most frequent; any other counts as one token less. More is
    larger."""
    vocabulary: int = 1000
    """Most labels that are known, the most frequent; any other is never answered."""


@dataclass(frozen=True)
class Recurrent:
    """Of the networks over sequences."""

    length: int = 8
    """Latest tokens that the network reads, at least as many as the chain. More is slower."""
    embedding: int = 16
    """Numbers that stand for a token."""
    width: int = 32
    """Numbers that the network remembers. More is slower to fit and to score."""
    dropout: float = 0.2
    """Share of these that is left out at each step. Higher is smoother."""
    learning_rate: float = 0.005
    """Of Adam."""
    batch: int = 256
    """Rows of a step."""
    epochs: int = 60
    """Passes over the training rows, at most."""
    patience: int = 10
    """Passes without improvement on the validation rows before fitting stops."""
    seed: int = 7
    """Of every random choice."""
