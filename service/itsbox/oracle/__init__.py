"""The oracle: after each step, did memory isolation hold? Independent of the hypervisor that it judges.

``dma`` judges each access of the ITS and the redistributors, ``invariants`` what an op left behind, ``spec`` (on request) what
the op should have left behind. A violation is a verdict, never an exception.
"""
