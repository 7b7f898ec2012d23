"""The commands of the command line, by what they are for; training/cli.py puts them together."""
