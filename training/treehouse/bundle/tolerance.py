"""How far an answer may be from the trainer's own, and why."""

TOLERANCE = 1e-12
"""Largest difference between an answer and the trainer's own, relative to the row's largest answer:
an interval's end may be a small difference of large numbers. Sums of leaves are equal to the bit;
exp and the logistic function of two C libraries differ by up to 2 ulp (4e-16), and a head combines
a handful of them."""
NETWORK_TOLERANCE = 1e-5
"""The same for networks, which compute in float32 (eps 6e-8): two libraries add the products of a
layer in another order, and a hundred terms lose two digits. There it is relative to the head's
largest answer over all rows: a head may be the number of a query, beside the head of its share."""
