"""What does `python -m icon` do? The same as `icon`."""

from icon.cli import main


if __name__ == "__main__":
    main()
