import type { SessionEvent } from "itsbox-client";
import { shown } from "./shapes";

/** What an event says, on one line of plain text. */
export function summary({ type, data }: SessionEvent): string {
  const d = data;
  switch (type) {
    case "trap.mmio": {
      const verb = d.write ? "write" : "read";
      const why = d.reason ? ` · ${shown(d.reason)}` : "";
      return `${verb} ${shown(d.register ?? d.addr)}${d.write ? " ←" : " →"} ${shown(d.value)} (${shown(d.size)} B) ${shown(d.action)}${why}`;
    }
    case "trap.hvc": {
      const args = Array.isArray(d.args) ? d.args.map((arg) => (typeof arg === "number" ? `0x${arg.toString(16)}` : shown(arg))) : [];
      return `${shown(d.function)}(${args.join(", ")}) → ${d.errno ? `-${shown(d.errno)}` : `x0 ${shown(d.x0)}, x1 ${shown(d.x1)}`}`;
    }
    case "trap.abort":
      return `${d.write ? "write" : "read"} at ${shown(d.addr)}: page of ${shown(d.owner ?? "nobody")}`;
    case "command.executed":
      return `slot ${shown(d.slot)} ${shown(d.name ?? "unknown opcode")}`;
    case "command.rejected":
      return `slot ${shown(d.slot)} ${shown(d.name ?? "unknown opcode")} · ${shown(d.reason)}${d.rule ? ` · rule ${shown(d.rule)}` : ""}`;
    case "command.error":
      return `slot ${shown(d.slot)} ${shown(d.name ?? "unknown opcode")} · ${shown(d.error)} ${shown(d.code)}${d.stalled ? " · queue stalled" : ""}`;
    case "shadow.queue":
      return `${shown(d.count)} copied to the hardware queue, bytes ${shown(d.from)}–${shown(d.to)}`;
    case "shadow.table":
      return `${shown(d.table)}[${d.index === -1 ? "all" : shown(d.index)}] ${shown(d.old)} → ${shown(d.new)}`;
    case "page.state":
      return `${shown(d.addr)} × ${shown(d.pages)}: ${shown(d.from)} → ${shown(d.to)} (${shown(d.cause)})`;
    case "lpi.pending":
      return `INTID ${shown(d.intid)} at ${d.vpe === null || d.vpe === undefined ? `CPU ${shown(d.cpu)}` : `vPE ${shown(d.vpe)}`}`;
    case "driver.log":
      return shown(d.line);
    case "violation":
      return `${shown(d.oracle)}: ${shown(d.sentence)}`;
    case "stream.gap":
      return `events ${shown(d.from)}–${shown(d.to)} are gone${d.declared ? ": the service no longer keeps them" : ": never received"}`;
    case "stream.epoch":
      return d.rewound
        ? `history began anew (epoch ${shown(d.from)} → ${shown(d.to)}): the session was restored or the service restarted`
        : `epoch ${shown(d.from)} → ${shown(d.to)}: the machine was put back to a snapshot`;
    case "stream.malformed":
      return `a frame of the stream was left out: ${shown(d.why)}`;
    default:
      return Object.entries(d)
        .map(([name, value]) => `${name} ${shown(value)}`)
        .join(", ");
  }
}
