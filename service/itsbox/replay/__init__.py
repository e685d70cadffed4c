"""Recorded traffic against a machine: read ``its-trace/1`` files, play them, compare; and ask QEMU itself.

Reading order: ``trace`` (the file format), ``absent`` (what a recording of a live client leaves out), ``steps`` (a trace as
ops with expectations), ``target`` and ``http_target`` (what can be played against), ``compare`` and ``final`` (what must be
equal), ``replayer`` (the loop). ``generator``, ``qtest``, ``qemu`` and ``differential`` make new sequences and ask QEMU.
"""
