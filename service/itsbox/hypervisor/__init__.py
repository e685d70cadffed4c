"""EL2, distrusting: what pKVM's ITS hardening does to each access of the host, as the chosen knobs say."""
