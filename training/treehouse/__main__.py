"""`python -m treehouse`: what the treehouse script runs."""

import os

# Read when the first booster's library is loaded. Threads that spin while they wait make fitting
# thirty times slower as soon as anything else runs on the machine.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from treehouse.cli.main import main

if __name__ == "__main__":
    main()
