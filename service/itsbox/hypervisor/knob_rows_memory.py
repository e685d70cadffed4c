"""Knobs of tables and pages, registers, redistributors and the driver. Read ``knob_table`` first."""

from __future__ import annotations

from itsbox.hypervisor.knob_table import knob

# ---------------------------------------------------------------------------------------------------- itt

knob(
    "itt_alignment", "itt", "Which ITT addresses MAPD accepts.",
    inverted="those that are *not* page aligned: the test is the wrong way round",
    required="page aligned ones",
    none="any",
    _256="any that the command can hold: ITT_addr has no bits below 8",
    source="RFC 8 (inverted); Android (required, with a driver that allocates whole pages); v2 8 (none); own",
    consequence="`inverted`: the first ITT in a fresh page is refused, which is the hang of the mail.",
    defects=(1,),
)  # fmt: skip
knob(
    "itt_size", "itt", "MAPD's Size.",
    unchecked="not compared with GITS_TYPER.ID_bits, and the table's bytes are computed in 32 bits",
    checked="must not exceed GITS_TYPER.ID_bits; computed without overflow",
    source="RFC 8; v2 8",
    consequence="`unchecked`: fewer pages are held than the command asks the ITS to use.",
    defects=(10,),
)  # fmt: skip
knob(
    "itt_pages", "itt", "How many pages an ITT has.",
    slack="its bytes plus 255, rounded up, from the page of its address on: a table of one page counts as two",
    exact="those that its bytes touch",
    source="RFC 8; own",
    consequence="`slack`: a neighbouring page is held too, or refused because it is somebody else's.",
)  # fmt: skip
knob(
    "itt_sharing", "itt", "Two ITTs in one page.",
    exclusive="the second one's page is shared already and therefore refused",
    refcounted="counted by device and page",
    source="RFC 8; v2 8",
    consequence="`exclusive`: of two small devices only the first works.",
    defects=(9,),
)  # fmt: skip
knob(
    "itt_pinning", "itt", "Whether pages of an ITT are pinned.",
    none="shared only", pinned="shared and pinned",
    source="RFC 8; v2 8",
    consequence="`none`: the host unshares the page by hypercall and gives it to a guest while the ITS writes to it.",
)  # fmt: skip
knob(
    "itt_release", "itt", "Which pages MAPD with V=0 gives back.",
    command="those that the command names, although the architecture ignores its ITT_addr and Size",
    device="those that the command names, if they were tracked for its DeviceID",
    recorded="those recorded when the device was mapped",
    source="RFC 8; v2 8; own",
    consequence="`command`: unmapping one device releases the pages of another that lives on.",
    defects=(8,),
)  # fmt: skip
knob(
    "release_time", "itt", "When pages are given back.",
    checking="while the command is checked, before the ITS has seen it",
    completion="after the ITS has carried the command out",
    source="RFC 8, v2 8; own: docs/explanation/dma-surface.md 6",
    consequence="`checking`: for a moment, or for good if the command fails, the ITS uses a page that is not held.",
)  # fmt: skip
knob(
    "preswitch_unmap", "itt", "MAPD with V=0 for a device that the hypervisor has not seen being mapped.",
    allowed="passes", error="is refused",
    source="RFC 8; v2 8 and Android",
    consequence="`error`: unmapping a device that was mapped before the switch-over wedges the queue.",
)  # fmt: skip
knob(
    "tracking_slots", "itt", "How many pages can be tracked.",
    fixed="505 with one page of private state, 508 with two",
    unbounded="as many as there are",
    source="RFC 8; Android; own (a hypervisor would take pages as needed)",
    consequence="`fixed`: enough devices use all slots up and later ones are refused.",
    defects=(16,),
)  # fmt: skip
knob(
    "vpt_pages", "itt", "How many pages a virtual pending table has.",
    buggy="2^((VPT_size+1)>>3) rounded up to 65,536: bytes and pages mixed up",
    correct="2^(VPT_size+1)/8 bytes, in 64 KB units",
    source="RFC 9",
    consequence="`buggy`: VMAPP always fails, with -ENOSPC or -EPERM; unmapping a vPE fails too.",
    defects=(6,),
)  # fmt: skip
knob(
    "rollback", "itt", "What a command that fails after its check takes back.",
    partial="the pages it tracked; a level-2 page taken for it stays taken",
    full="everything",
    source="RFC 8, v2 6; own: docs/explanation/dma-surface.md 7, H9",
    consequence="`partial`: state changes although the command did not happen.",
)  # fmt: skip

# ---------------------------------------------------------------------------------------------------- tables

knob(
    "table_hiding", "tables", "Whether the hardware's tables are taken from the host.",
    off="no",
    on="level 1, and the last level of device and vPE tables; the host keeps a copy of level 1",
    source="RFC 7",
    consequence="`off`: the host writes device and vPE table entries itself and so points the ITS anywhere.",
)  # fmt: skip
knob(
    "collection_l2", "tables", "Level-2 pages of a two-level collection table.",
    host="stay with the host", donated="are taken too",
    source="RFC 7; v2 7",
    consequence="`host`: the host forges collection entries, which are addresses where PTA is 1.",
    defects=(14,),
)  # fmt: skip
knob(
    "l1_index", "tables", "Which level-1 entry is mirrored for an id.",
    device_id="the one with the id itself as index, without a bound",
    correct="id / entries per level-2 page, bounded by the table",
    source="RFC 8; v2 8",
    consequence="`device_id`: new level-2 pages never reach the hardware; a large id reads past the table at EL2.",
    defects=(2,),
)  # fmt: skip
knob(
    "l1_mask", "tables", "How the address is taken out of a level-1 entry.",
    shift="by AND with the number 48, a shift taken for a mask: always page 0",
    correct="bits [51:12]",
    source="RFC 8; v2 8",
    consequence="`shift`: mirroring a new entry tries to take page 0 and fails.",
    defects=(7,),
)  # fmt: skip
knob(
    "l1_sync", "tables", "When level-1 entries are mirrored.",
    checked_commands="at MAPD, VMAPP and MAPC",
    every_command="before every command that makes the ITS walk the table",
    source="RFC 8 to 10; own",
    consequence="`checked_commands`: other commands reach the walk first.",
    defects=(22,),
)  # fmt: skip
knob(
    "l1_removal", "tables", "The host clears a level-1 entry that is in use.",
    returned="the level-2 page goes back to the host, with the ITS possibly still using it",
    ignored="nothing: an entry that was valid stays, as the architecture has no way to shrink a live table",
    source="RFC 8; own: IHI 0069H.b, Two-level tables",
    consequence="`returned`: use after free by the ITS.",
)  # fmt: skip
knob(
    "new_l2", "tables", "What a level-2 page that the host adds holds.",
    as_is="what the host left in it", zeroed="zeros",
    source="RFC 8; own",
    consequence="`as_is`: the host forges entries before it hands the page over.",
)  # fmt: skip

# ---------------------------------------------------------------------------------------------------- registers

knob(
    "ctlr_guard", "registers", "Writes to GITS_CTLR.",
    off="forwarded", on="enabling an ITS that is not quiescent is refused",
    source="RFC 11", consequence="`off`: the ITS is enabled in the middle of a change.",
)  # fmt: skip
knob(
    "cbaser_guard", "registers", "Writes to GITS_CBASER.",
    off="forwarded", on="refused unless disabled and quiescent; address and size stay",
    source="RFC 12", consequence="`off`: the host points the hardware at a queue of its own.",
)  # fmt: skip
knob(
    "baser_guard", "registers", "Writes to GITS_BASER<n>.",
    off="forwarded", on="refused unless disabled and quiescent; address and size stay",
    source="RFC 13", consequence="`off`: the host points the hardware at tables of its own.",
)  # fmt: skip
knob(
    "base_writes", "registers", "What a permitted write of GITS_CBASER or GITS_BASER<n> may contain.",
    forced="anything: address and size are replaced, attributes and Valid are the host's",
    exact="what the register shows the host; attributes do not count, any other difference is refused",
    source="RFC 12 and 13; own: docs/explanation/dma-surface.md 5",
    consequence="`forced`: the host makes a table invalid or changes its attributes.",
)  # fmt: skip
knob(
    "base_mask", "registers", "How address and size are replaced.",
    buggy="the mask is ~A | ~B, which clears nothing: the host's bits are OR-ed in",
    correct="the mask is ~(A | B)",
    source="RFC 12 and 13; v2 11 and 12",
    consequence="`buggy`: the host moves queue and tables to addresses with more bits set.",
    defects=(3,),
)  # fmt: skip
knob(
    "cbaser_reset", "registers", "What a permitted write of GITS_CBASER starts anew.",
    pointer="the position in the host queue",
    both="the position, and the hardware's GITS_CWRITER",
    source="RFC 12; v2 11",
    consequence="`pointer`: if the host enables the ITS before it writes GITS_CWRITER, old commands run again.",
)  # fmt: skip
knob(
    "ctlr_bits", "registers", "Which bits of GITS_CTLR the host writes.",
    host="all", enabled_only="Enabled; the others stay",
    source="RFC 11; own: docs/explanation/dma-surface.md 5",
    consequence="`host`: ITS_Number and IMPLEMENTATION DEFINED bits too.",
)  # fmt: skip
knob(
    "register_width", "registers", "How many bytes the handler of GITS_CTLR stands for.",
    wide="eight, GITS_IIDR included: a read of GITS_IIDR gives GITS_CTLR",
    exact="four",
    source="RFC 11; v2 10", consequence="`wide`: the driver cannot read who made the ITS.",
    defects=(13,),
)  # fmt: skip
knob(
    "access_width", "registers", "Which access sizes reach a handler.",
    any="any: a half is taken for the whole register",
    bounded="aligned ones not wider than the register: a half is still taken for the whole",
    halves="32 and 64 bits as the architecture has them, halves put together with the other half as it reads",
    source="RFC 6; v2 6; own: docs/explanation/dma-surface.md 5",
    consequence="`any`, `bounded`: half writes give registers a value that nobody wrote.",
    defects=(13,),
)  # fmt: skip
knob(
    "register_view", "registers", "What reads of CBASER, CWRITER, CREADR and BASER<n> show.",
    hardware="the hardware's registers", host="the host's own queue and level-1 copies",
    source="RFC 6, 12, 13; own: docs/explanation/dma-surface.md 5",
    consequence="`hardware`: the host learns the hypervisor's addresses and pointers.",
)  # fmt: skip
knob(
    "impdef_registers", "registers", "IMPLEMENTATION DEFINED and reserved offsets.",
    forwarded="forwarded", raz_wi="read as zero, writes ignored",
    source="RFC 6, v2, Android; own",
    consequence="`forwarded`: GIC-600's GITS_OPR walks tables on behalf of the host, GITS_FCTLR hides errors.",
    defects=(21,),
)  # fmt: skip
knob(
    "read_only_registers", "registers", "Writes to registers that software does not own, GITS_CREADR first of all.",
    forwarded="forwarded", refused="refused",
    source="RFC 6, v2, Android; own",
    consequence="`forwarded`: where GITS_CREADR can be written, old commands run again.",
)  # fmt: skip
knob(
    "denied_read", "registers", "What a read that the emulation drops gives.",
    unchanged="the destination register keeps what it held", zero="zero",
    source="RFC 6, v2, Android; own",
    consequence="`unchanged`: the driver computes with whatever was there.",
)  # fmt: skip

# ------------------------------------------------------------------------------------------------ redistributors

knob(
    "redistributors", "redistributors", "The redistributors' frames.",
    open="mapped for the host: the series does not look at them",
    emulated="unmapped; tables are checked, held and frozen while LPIs are on",
    source="the mail's notes; Android; own",
    consequence="`open`: GICR_PENDBASER and, with GICv4, GICR_VPENDBASER write to any memory.",
    driver=True,
)  # fmt: skip
knob(
    "vlpi_frame", "redistributors", "The frame of virtual LPIs of an emulated redistributor.",
    refused="refused", checked="addresses must be those of vPEs that the hypervisor knows",
    source="Android; own", consequence="`refused`: no virtual LPIs.",
)  # fmt: skip

# ---------------------------------------------------------------------------------------------------- driver

knob(
    "driver_handover", "driver", "How far the driver's part of the switch-over goes.",
    none="it finalises the CPUs",
    locks="it takes its locks around that, and finds no hypervisor to hand over to",
    switch="it hands queue and tables over and goes on with its own copies",
    source="RFC 5 and 14", consequence="None for the hypervisor.", driver=True,
)  # fmt: skip
knob(
    "driver_itt_alignment", "driver", "How the driver allocates interrupt translation tables.",
    _256="small ones from pieces of a page, 256-byte aligned", page="always whole pages",
    source="Linux irq-gic-v3-its.c; Android", consequence="`page` goes with `itt_alignment` `required`.", driver=True,
)  # fmt: skip
knob(
    "driver_table_free", "driver", "What the driver frees when its level-1 copies are not needed after all.",
    first_page="the first page of each: the rest leaks", whole="all of them",
    source="RFC 5; fixed in v2 5", consequence="`first_page`: memory leaks on the error path.", driver=True,
)  # fmt: skip
