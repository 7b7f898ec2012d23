"""`python -m training`: what the treehouse script runs."""

from training.cli import main

if __name__ == "__main__":
    main()
