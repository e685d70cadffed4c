"""The pytest plugin of itsbox."""
