"""``python -m itsbox`` is the ``itsbox`` command."""

from itsbox.cli import main

if __name__ == "__main__":
    main()
