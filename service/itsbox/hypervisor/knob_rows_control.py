"""Knobs of what is there, of the switch-over, the command queue and the commands. Read ``knob_table`` first."""

from __future__ import annotations

from itsbox.hypervisor.knob_table import knob

# ---------------------------------------------------------------------------------------------------- presence

knob(
    "pkvm", "presence", "Whether there is a hypervisor.",
    absent="no pKVM: every hypercall is NOT_SUPPORTED and the host keeps full control",
    present="pKVM: page ownership, hypercalls, and a stage 2 once each CPU has been finalised",
    source="own: the machine without the series' foundation",
    consequence="`absent`: all memory attacks work, which is the point of comparison.",
)  # fmt: skip
knob(
    "its_mmio", "presence", "What becomes of the ITS's frames at the switch-over.",
    mapped="the host keeps its direct mapping",
    forwarded="unmapped; each access traps and is carried out on the host's behalf",
    emulated="unmapped; once taken over, each access goes through the emulation",
    source="RFC 4 (forwarded), RFC 6 and 14 (emulated)",
    consequence="`mapped` and `forwarded` let the host program tables, queue and commands as it likes.",
)  # fmt: skip
knob(
    "trap_range", "presence", "How much of the ITS is unmapped.",
    whole="everything the device tree gives it, GITS_TRANSLATER's page included",
    control_frame="the 64 KB control frame and, with GICv4.1, the virtual SGI frame",
    source="RFC 4; Android shrinks the range to 64 KB",
    consequence="`whole`: a CPU's own write to GITS_TRANSLATER traps. Devices' writes never pass the host's stage 2.",
)  # fmt: skip
knob(
    "dt_resource", "presence", "Which `reg` entry of a device tree node is taken as the ITS's frames.",
    node_index="the entry with the number of the node: right for the first ITS only",
    first="the first entry",
    source="RFC 4; fixed in Android",
    consequence="`node_index`: on a machine with several ITSs all but the first stay mapped, or the set-up fails.",
)  # fmt: skip
knob(
    "region_scan", "presence", "Which slots of the array of protected regions are searched.",
    all_slots="all eight, used or not: an empty slot matches address 0",
    counted="those in use",
    source="RFC 6",
    consequence="`all_slots`: taking over a device at address 0, which does not exist, succeeds and costs the host pages.",
)  # fmt: skip
knob(
    "forward_width", "presence", "Which access sizes the forwarding handler carries out.",
    word_double="4 and 8 bytes; any other is dropped in silence",
    all="1, 2, 4 and 8 bytes",
    source="RFC 4; v2 4",
    consequence="`word_double`: a narrow read leaves the host's register as it was.",
)  # fmt: skip
knob(
    "host_abort", "presence", "What follows when the host touches what is not its own.",
    inject="an abort is injected into the host",
    panic="the hypervisor stops the machine",
    source='Linux mem_protect.c (panic); "Inject SIGSEGV on illegal accesses", March 2026, and Android (inject)',
    consequence="`panic`: any stray access of any host process ends the machine.",
)  # fmt: skip
knob(
    "takeover_call", "presence", "How the take-over of the ITS is reached.",
    internal="from the switch-over itself, while it runs; afterwards there is no such call",
    hypercall="`__pkvm_init_its_emulation` is a hypercall that stays callable",
    source="RFC 14. `internal` stands for patches 6 to 13, whose code nothing reaches yet: decision record 0101",
    consequence="`hypercall`: a hostile host can call it at any time and must be turned away.",
)  # fmt: skip

# ---------------------------------------------------------------------------------------------------- takeover

knob(
    "setup_lock", "takeover", "What an error return of the take-over does with its lock.",
    leaks="keeps it: the next take-over waits for ever at EL2",
    released="releases it",
    source="RFC 6; fixed in v2 6",
    consequence="`leaks`: one refused hypercall and a second one hang a CPU.",
    defects=(12,),
)  # fmt: skip
knob(
    "setup_undo", "takeover", "What a take-over that fails gives back.",
    broken="nothing but the queue pages of its own step; its unwinding maps pages twice or through a wild pointer",
    partial="everything but the private state after its first page; unsharing the host queue never ends",
    full="everything: memory is as before the call",
    source="RFC 6 and 7; v2 6 and 13",
    consequence="`broken`: the host's pages are lost, or EL2 faults. `partial`: a page is lost, or EL2 hangs.",
    defects=(12, 17),
)  # fmt: skip
knob(
    "setup_values", "takeover", "What is believed of the values in `its_shadow_tables`.",
    trusted="everything",
    aligned="everything, but pointers must be page aligned, lengths not zero, and a two-level table must have a copy",
    verified="nothing that GITS_CBASER and GITS_BASER<n> do not confirm; level-1 entries are checked one by one",
    source="RFC 6 and 7; v2 6, 7 and 13; own",
    consequence="`trusted`: a host that lies at the switch-over keeps the real queue or table for itself.",
)  # fmt: skip
knob(
    "private_state", "takeover", "How many pages of private state the host donates.",
    one_page="1",
    two_pages="2",
    source="RFC 14; Android and v2 13",
    consequence="Bounds the tracking of pages, see `tracking_slots`.",
    driver=True,
)  # fmt: skip
knob(
    "private_page", "takeover", "What the donated private state holds at first.",
    kept="what the host left in it, taken for the hypervisor's own records",
    zeroed="zeros",
    source="RFC 6; fixed in v2 6",
    consequence="`kept`: the host chooses what the hypervisor believes to have tracked.",
)  # fmt: skip
knob(
    "takeover_window", "takeover", "The ITS between the last CPU's finalisation and its take-over.",
    dropped="accesses are dropped, the ITS runs on with tables that the host can still edit",
    quiesced="accesses are refused and the ITS is disabled until it has been taken over",
    source="RFC 6 and 14; own",
    consequence="`dropped`: a host that never makes the call keeps the ITS as a way into all memory.",
)  # fmt: skip
knob(
    "start_offset", "takeover", "Where in the queues the emulation starts.",
    zero="at the start, wherever the hardware is",
    creadr="at the hardware's CREADR",
    cwriter="at the hardware's CWRITER, which must equal CREADR",
    source="RFC 6; v2 6; own",
    consequence="`zero`: the zeros of the new queue are copied over old commands; lethal if any was in flight.",
    defects=(19,),
)  # fmt: skip
knob(
    "preswitch_devices", "takeover", "Devices that were mapped before the switch-over.",
    unknown="are not known to the hypervisor, and their tables not pinned",
    walked="are found by walking the device and vPE tables; their memory is pinned like any other. Where RDbase is an address, "
    "each collection must name a redistributor",
    source="RFC 7; own: docs/explanation/dma-surface.md 8, step 5",
    consequence="`unknown`: the host can donate such a table's page to a guest while the ITS still writes to it; a collection "
    "that it forged before sends messages to any address after.",
)  # fmt: skip

# ---------------------------------------------------------------------------------------------------- queue

knob(
    "queue_shadowing", "queue", "Whether the hardware reads its own queue or the host's.",
    off="GITS_CWRITER is forwarded; nobody copies commands (hypothesis H9 once the driver has switched)",
    on="the hardware queue is the hypervisor's and gets copies",
    source="RFC 6",
    consequence="`off`: commands reach the hardware unchecked.",
)  # fmt: skip
knob(
    "submission", "queue", "How commands get from the host queue to the hardware queue.",
    batch="all are copied, then checked, then made visible together",
    one_at_a_time="each is fetched, checked, copied and awaited before the next",
    runs="commands without page transitions go in runs of checked copies; those with go alone and are awaited",
    source="RFC 6 and 8; v2 6; own",
    consequence="`batch`: refused commands lie in the hardware queue already, and good ones before a bad one are redone.",
    defects=(11,),
)  # fmt: skip
knob(
    "wrap_parsing", "queue", "Which commands are checked when the queue wraps.",
    buggy="the tail twice, the head never",
    correct="the tail, then the head",
    source="RFC 8",
    consequence="`buggy`: commands at the start of the queue reach the hardware unchecked.",
    defects=(5,),
)  # fmt: skip
knob(
    "queue_bound", "queue", "Which offsets in GITS_CWRITER are rejected.",
    greater="those greater than the queue's length: the length itself passes",
    not_less="those not less than the queue's length",
    source="RFC 6; v2 6",
    consequence="`>`: one value stops the hardware queue, which ignores an offset outside.",
    defects=(4,),
)  # fmt: skip
knob(
    "on_refusal", "queue", "What becomes of the queue at a refused command.",
    wedge="it stays there: the command is looked at again at each write of GITS_CWRITER, nothing passes it",
    skip="the command is reported and left out",
    source="RFC 8, v2 6; own",
    consequence='`wedge`: "ITS queue timeout" for ever after.',
    defects=(11,),
)  # fmt: skip
knob(
    "cache_maintenance", "queue", "What the hypervisor does so that the ITS sees its stores.",
    none="nothing",
    dsb="a barrier",
    flush="clean to the point of coherency where the queue is not inner shareable, else a barrier",
    source="RFC 6; v2 6",
    consequence="`none` and `dsb`: an ITS that is not coherent reads stale commands and level-1 entries.",
    defects=(18,),
)  # fmt: skip
knob(
    "host_fetch", "queue", "How often a word of host memory is read that decides something.",
    twice="a level-1 entry is read to be checked, and again to be copied",
    slot_twice="a queue slot is read to be checked, and again to be copied; a level-1 entry once",
    once="once, into the hypervisor's own memory",
    source="RFC 8; v2 8; `slot_twice` is this project's, for the race that the RFC's copy of the queue shuts out",
    consequence="`twice`, `slot_twice`: another CPU of the host stores in between, and what was not checked is used.",
    defects=(20,),
)  # fmt: skip

# ---------------------------------------------------------------------------------------------------- commands

knob(
    "mapd_check", "commands", "Whether MAPD is checked.",
    off="no", on="as the knobs of group itt say",
    source="RFC 8", consequence="`off`: MAPD makes any memory an interrupt translation table.",
)  # fmt: skip
knob(
    "vmapp_check", "commands", "Whether VMAPP is checked where virtual commands pass.",
    off="no", on="its pending table is shared with the hypervisor",
    source="RFC 9; dropped in v2", consequence="`off`: VMAPP makes any memory a virtual pending table.",
)  # fmt: skip
knob(
    "mapc_check", "commands", "Whether MAPC is checked.",
    off="no", on="its level-1 entry is mirrored",
    source="RFC 10", consequence="`off`: a two-level collection table is walked through entries nobody mirrored.",
)  # fmt: skip
knob(
    "virtual_commands", "commands", "Commands of virtual LPIs (opcode bit 5).",
    forwarded="pass", refused="are refused", checked="are checked like all others, and refused on an ITS without vLPIs",
    source="RFC 8; Android; own",
    consequence="`forwarded`: VMAPP, VMAPTI, VMOVI and others reach tables that nobody checked.",
    defects=(15,),
)  # fmt: skip
knob(
    "other_commands", "commands", "Physical commands besides MAPD and MAPC.",
    forwarded="pass", checked="ids, level-1 presence, INTIDs and redistributors are checked",
    source="RFC 8; own", consequence="`forwarded`: hardware alone judges their ranges.",
)  # fmt: skip
knob(
    "unknown_opcodes", "commands", "Opcodes that no command has.",
    forwarded="pass", refused="are refused",
    source="RFC 8, v2, Android; own", consequence="`forwarded`: what they do is the implementation's secret.",
)  # fmt: skip
knob(
    "reserved_bits", "commands", "RES0 bits of a command or a level-1 entry.",
    kept="reach the hardware", cleared="are cleared first; a level-1 entry whose page is misaligned is refused",
    source="RFC 8; own: docs/explanation/dma-surface.md 6", consequence="`kept`: they may mean something to the implementation.",
)  # fmt: skip
knob(
    "rd_base", "commands", "RDbase of MAPC, SYNC, MOVALL, VMAPP and VMOVP.",
    unchecked="passes", checked="must name a redistributor of the machine",
    source="RFC 10; own",
    consequence="`unchecked`: where RDbase is an address (PTA), a bus message goes to any address.",
)  # fmt: skip
