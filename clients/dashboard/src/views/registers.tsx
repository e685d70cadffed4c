import { useMemo, useRef, useState } from "preact/hooks";
import { registersOf, type RegisterRow } from "../logic/shapes";
import { useLook } from "../state/look";
import type { SessionModel } from "../state/session";
import { Chip, Empty, LookNote, Panel, Scroll } from "../ui/marks";

export function RegistersView({ model }: { model: SessionModel }) {
  const look = useLook(model, "registers", (c, id, signal) => c.registers(id, signal)).value;
  const [text, setText] = useState("");
  const [onlyChanged, setOnlyChanged] = useState(false);
  const rows = useMemo(() => registersOf(look.data), [look.data]);
  const changed = useChanged(rows);
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const visible = rows.filter((row) => {
    if (onlyChanged && !changed.has(row.key)) return false;
    const haystack = `${row.frame} ${row.name} ${row.value} ${row.policy} ${row.fields.map((f) => f.name).join(" ")}`.toLowerCase();
    return words.every((word) => haystack.includes(word));
  });
  const frames = [...new Set(visible.map((row) => row.frame))];
  return (
    <>
      <LookNote look={look} past={model.past.value} />
      <div class="row">
        <input type="search" class="grow" placeholder="Register, field, value or policy" aria-label="Search registers" value={text} onInput={(e) => setText(e.currentTarget.value)} />
        <label class="check">
          <input type="checkbox" checked={onlyChanged} onChange={(e) => setOnlyChanged(e.currentTarget.checked)} />
          changed since this view was opened ({changed.size})
        </label>
      </div>
      {look.data !== null && visible.length === 0 && (
        <Panel title="Registers">
          <Empty title={rows.length === 0 ? "The service lists no register" : "No register matches"} />
        </Panel>
      )}
      {frames.map((frame) => (
        <Panel key={frame} title={frame || "Registers"} flush>
          <Scroll label={`Registers ${frame}`}>
            <table>
              <thead>
                <tr>
                  <th>register</th>
                  <th class="num">value</th>
                  <th>fields</th>
                  <th>for the host</th>
                </tr>
              </thead>
              <tbody>
                {visible
                  .filter((row) => row.frame === frame)
                  .map((row) => (
                    <Register key={row.key} row={row} changed={changed.has(row.key)} />
                  ))}
              </tbody>
            </table>
          </Scroll>
        </Panel>
      ))}
    </>
  );
}

/** Registers whose value is another one than when the view was opened. */
function useChanged(rows: RegisterRow[]): Set<string> {
  const first = useRef<Map<string, string> | null>(null);
  if (first.current === null && rows.length > 0) first.current = new Map(rows.map((row) => [row.key, row.value]));
  return new Set(rows.filter((row) => first.current?.get(row.key) !== row.value).map((row) => row.key));
}

function Register({ row, changed }: { row: RegisterRow; changed: boolean }) {
  return (
    <tr class={changed ? "changed" : ""}>
      <th scope="row" class="mono nowrap" title={row.offset}>
        {row.name}
        {row.access && <span class="soft"> {row.access}</span>}
        {changed && <span class="sr"> changed</span>}
      </th>
      <td class="num">{row.value}</td>
      <td>
        <div class="bits">
          {row.fields.map((field) => (
            <span key={field.name} class={`bit ${/^(0|0x0|false|–)$/.test(field.value) ? "" : "set"}`} title={field.bits ? `bits ${field.bits}` : undefined}>
              <b>{field.name}</b>
              <span>{field.value}</span>
            </span>
          ))}
        </div>
      </td>
      <td>{row.policy ? <Chip tone={/refuse|deny|raz|wi|ignore/i.test(row.policy) ? "warn" : /emulat/i.test(row.policy) ? "accent" : ""}>{row.policy}</Chip> : "–"}</td>
    </tr>
  );
}
