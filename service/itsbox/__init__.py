"""itsbox: simulated Arm machines whose GIC ITS is guarded by an emulation of pKVM's ITS hardening."""

__version__ = "0.1.0"
