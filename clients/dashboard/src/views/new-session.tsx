import { useEffect, useState } from "preact/hooks";
import { client } from "../state/api";
import { catalogue, loadCatalogue } from "../state/catalogue";
import { Note, Panel } from "../ui/marks";

const STARTS = [
  ["bare", "bare: just out of reset"],
  ["host", "host: the driver has booted"],
  ["deprivileged", "deprivileged: the switch-over is done"],
] as const;

/** The form that makes a session. What is left empty is the service's default. */
export function NewSession({ onCreated }: { onCreated: (id: string) => void }) {
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const [knobs, setKnobs] = useState<Record<string, string>>({});
  useEffect(() => void loadCatalogue(), []);
  const { profiles, presets, knobs: known } = catalogue.value;

  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    const text = (name: string): string => String(form.get(name) ?? "").trim();
    let metadata: unknown;
    try {
      metadata = text("metadata") ? JSON.parse(text("metadata")) : undefined;
    } catch {
      return setProblem('Metadata is not JSON: write {"job": "ci-7"}.');
    }
    const preset = text("preset");
    const own = Object.fromEntries(Object.entries(knobs).filter(([, value]) => value !== ""));
    const body: Record<string, unknown> = {
      profile: text("profile") || undefined,
      hardening: Object.keys(own).length > 0 ? { ...(preset ? { preset } : {}), knobs: own } : preset || undefined,
      start: text("start"),
      oracle: text("oracle"),
      error_policy: text("error_policy") || undefined,
      cpus: Number(text("cpus")) || undefined,
      ram_mib: Number(text("ram_mib")) || undefined,
      metadata,
    };
    setBusy(true);
    try {
      const session = await client.create(body as never);
      setProblem(null);
      onCreated(session.id);
    } catch (error) {
      setProblem((error as Error).message);
    } finally {
      setBusy(false);
    }
  };

  return (
    <Panel title="New session">
      <form onSubmit={(event) => void submit(event)} class="form">
        <div class="row fields">
          <Choice name="profile" label="Profile" options={profiles.map(({ name, doc }) => [name, doc ? name : name])} initial="virt-gicv3" />
          <Choice name="preset" label="Hardening" options={presets.map(({ name }) => [name, name])} initial="strict" />
          <Choice name="start" label="Start" options={STARTS} initial="deprivileged" />
          <Choice name="oracle" label="Oracle" options={[["on", "on"], ["lockstep", "lockstep"], ["off", "off"]]} initial="on" />
          <Choice name="error_policy" label="On a command error" options={[["", "default"], ["ignore", "ignore"], ["stall", "stall"]]} initial="" />
          <label class="field">
            CPUs
            <input name="cpus" inputMode="numeric" size={5} placeholder="default" />
          </label>
          <label class="field">
            RAM (MiB)
            <input name="ram_mib" inputMode="numeric" size={6} placeholder="default" />
          </label>
          <label class="field grow">
            Metadata (JSON)
            <input name="metadata" class="mono" placeholder='{"job": "ci-7"}' />
          </label>
          <button type="submit" class="primary" disabled={busy}>
            Create
          </button>
        </div>
        {known.length > 0 && (
          <details>
            <summary class="soft">Change single knobs of the preset</summary>
            <div class="knobs">
              {known.map((knob) => (
                <label key={knob.name} class="field" title={knob.doc}>
                  {knob.name}
                  <select
                    value={knobs[knob.name] ?? ""}
                    onChange={(event) => setKnobs({ ...knobs, [knob.name]: event.currentTarget.value })}
                  >
                    <option value="">as the preset says</option>
                    {knob.values.map((value) => (
                      <option key={value} value={value}>
                        {value}
                      </option>
                    ))}
                  </select>
                </label>
              ))}
            </div>
          </details>
        )}
        {problem && <Note tone="bad">{problem}</Note>}
      </form>
    </Panel>
  );
}

export function Choice(props: {
  name: string;
  label: string;
  options: readonly (readonly [string, string])[];
  initial: string;
  onChange?: (value: string) => void;
}) {
  const options = props.options.length > 0 ? props.options : [[props.initial, props.initial] as const];
  const has = options.some(([value]) => value === props.initial);
  return (
    <label class="field">
      {props.label}
      <select
        name={props.name}
        key={has ? "known" : "unknown"}
        onChange={(event) => props.onChange?.(event.currentTarget.value)}
      >
        {options.map(([value, text]) => (
          <option key={value} value={value} selected={value === props.initial}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}
